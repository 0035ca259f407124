"""What a stage is given when it runs.

Owns `StepContext`. The rule: `config` and `inputs` are the step's identity and decide its result;
everything else here (paths, threads, names for people) must not change a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.study.document import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """One run of one stage."""

    config: Mapping[str, Any]
    """The resolved configuration, as plain JSON values."""
    inputs: Mapping[str, Path]
    """Role -> folder of the artifact that fills it."""
    bindings: Mapping[str, str]
    """Paths and names of this machine and study that are not part of the identity."""
    fingerprint: str
    output: Path
    """Empty folder; what is in it when `run` returns becomes the artifact."""
    scratch: Path
    """Folder for checkpoints; it survives a kill and is gone once the step is done."""
    cache: Path
    """Folder for embeddings that several steps share; losing it costs time only."""
    resources: Resources
    """What this machine lends to the step."""
    device: str
    """`cpu`, or `auto` for a step that asked for a device and may use the one that it was given."""
    mirrors: tuple[Path, ...]
    """Folders that stand in for the hub; with any given, the network is not used."""
    report: Callable[[str], None]
    """Takes a line for the step's log."""

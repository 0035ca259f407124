"""The record beside an artifact, without which it does not count.

Owns its layout, its reading and its writing. The rule: a record says what its artifact was made from,
field by field, and what its files' bytes are; its fingerprint is the hash of the former.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.errors import StoreError
from harness.execution.file_trees import sync_all
from harness.identity import fingerprint

RECORD_NAME = "artifact.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRecord:
    """What lies beside an artifact: its identity, its making and its files."""

    __pydantic_config__ = ConfigDict(extra="forbid", defer_build=True)

    fingerprint: str
    payload: dict[str, Any]
    """Stage, version, configuration and inputs: what the fingerprint is the hash of."""
    files: dict[str, str]
    """Relative path -> SHA-256."""
    sizes: dict[str, int]
    """Relative path -> bytes."""
    versions: dict[str, str]
    """Package versions at the time."""
    machine: dict[str, str | int]
    wall_seconds: float
    finished: str
    """UTC time, ISO 8601."""


_RECORD = TypeAdapter(ArtifactRecord)


def read_record(text: bytes, name: str, *, place: str, cure: str) -> ArtifactRecord:
    """Return the record of an artifact.

    Args:
        text: As it was written.
        name: Fingerprint of the step.
        place: Where the artifact is, for people.
        cure: What to do if it is damaged.

    Raises:
        StoreError: If it is no record, or that of another step.
    """
    try:
        record = _RECORD.validate_json(text)
    except ValidationError as error:
        raise StoreError(f"{place}/{RECORD_NAME}: not an artifact record", cure=cure) from error
    if record.fingerprint != name or fingerprint(record.payload) != name:
        raise StoreError(f"{place}: the record belongs to another configuration", cure=cure)
    return record


def write_record(record: ArtifactRecord, output: Path) -> bytes:
    """Write the record beside the files of an artifact, all of them now on the disk; return its text."""
    text = json.dumps(asdict(record), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (output / RECORD_NAME).write_text(text, encoding="utf-8")
    sync_all([*(output / file for file in record.files), output / RECORD_NAME, output])
    return text.encode()

"""Canonical JSON and the fingerprints made from it.

Owns the one text form in which a configuration is hashed. The rule: equal configurations give equal
bytes on every machine and Python version, and a value with no stable form raises instead of being
guessed at. What must never be hashed (paths, hosts, device counts) has no form here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 1 << 20


def to_plain(value: Any, *, where: str = "value") -> Any:
    """Return `value` as JSON types only: dict, list, str, int, float, bool and None.

    Dataclasses become dictionaries of all their fields, defaults included, so that editing a default
    changes the identity of what relied on it.

    Raises:
        TypeError: For a type without a stable text form (paths and sets among them).
        ValueError: For a number that JSON cannot hold (NaN, infinity).
    """
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where}: {value} has no canonical form")
        return float(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_plain(getattr(value, field.name), where=f"{where}.{field.name}")
            for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        plain = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{where}: key {key!r} is not a string")
            plain[key] = to_plain(item, where=f"{where}.{key}")
        return plain
    if isinstance(value, (list, tuple)):
        return [to_plain(item, where=f"{where}[{index}]") for index, item in enumerate(value)]
    raise TypeError(f"{where}: {type(value).__name__} has no canonical form")


def canonical_json(value: Any) -> str:
    """Return the canonical JSON text of `value`: sorted keys, no spaces, plain UTF-8.

    Raises:
        TypeError: For a type without a stable text form.
        ValueError: For NaN or infinity.
    """
    return json.dumps(
        to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def join_canonical(members: Mapping[str, str]) -> str:
    """Return the canonical JSON of an object whose members are given as canonical JSON.

    Large plans make each shared part's text once: `join_canonical({k: canonical_json(v)})` is
    `canonical_json({k: v})`.
    """
    written = [f"{_write_key(name)}:{members[name]}" for name in sorted(members)]
    return f"{{{','.join(written)}}}"


@cache
def _write_key(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of `value`, as 64 hexadecimal digits."""
    return fingerprint_of_text(canonical_json(value))


def fingerprint_of_text(text: str) -> str:
    """Return the fingerprint of the value whose canonical JSON is `text`."""
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def tree_sha256(folder: Path) -> str:
    """Return one SHA-256 over the relative names and contents of all files below `folder`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return fingerprint({path.relative_to(folder).as_posix(): file_sha256(path) for path in files})

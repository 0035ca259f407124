"""Canonical JSON, fingerprints, seeds and provenance: what makes two things the same."""

from harness.identity.canonical import (
    canonical_json,
    file_sha256,
    fingerprint,
    fingerprint_of_text,
    join_canonical,
    tree_sha256,
)
from harness.identity.seeds import derive_seed

__all__ = [
    "canonical_json",
    "derive_seed",
    "file_sha256",
    "fingerprint",
    "fingerprint_of_text",
    "join_canonical",
    "tree_sha256",
]

"""What produced a result: package versions, platform and the state of the source tree.

Owns the facts that are recorded beside a result but never decide whether two results are the same.
Versions are read from package metadata, so nothing heavy is imported.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

DEVICE = "device"
"""The fact of a machine that names its GPU; absent where none was used."""

_TRACKED_PACKAGES = (
    "beir",
    "bm25s",
    "datasets",
    "embedding-harness",
    "mteb",
    "numpy",
    "peft",
    "pytrec_eval-terrier",
    "scikit-learn",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "transformers",
)


def package_versions() -> dict[str, str]:
    """Return the installed version of each package that can move a score, sorted by name."""
    versions = {"python": platform.python_version()}
    for name in _TRACKED_PACKAGES:
        try:
            versions[name] = installed_version(name)
        except metadata.PackageNotFoundError:
            continue
    return dict(sorted(versions.items()))


@cache
def installed_version(name: str) -> str:
    """Return the version of an installed package, read once a process: the files are slow to parse.

    Raises:
        PackageNotFoundError: If it is not installed.
    """
    return metadata.version(name)


def describe_machine(*, threads: int, uses_gpu: bool = False) -> dict[str, str | int]:
    """Return the platform facts that explain small differences between machines.

    Args:
        threads: Of the numeric libraries.
        uses_gpu: Whether to name the GPU; only a process that has used one can tell.
    """
    facts: dict[str, str | int] = {
        "system": platform.system(),
        "machine": platform.machine(),
        "num_cpus": os.cpu_count() or 0,
        "threads": threads,
    }
    torch = sys.modules.get("torch")
    if uses_gpu and torch is not None and torch.cuda.is_available():
        facts[DEVICE] = torch.cuda.get_device_name(0)
    return facts


def git_commit(folder: Path) -> str:
    """Return the commit of the checkout that holds `folder`, or an empty string.

    A `+` after the commit marks uncommitted changes.
    """
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+" if _git(folder, "status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()

"""The command line, as the tests run it."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import REPOSITORY


def run_harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )

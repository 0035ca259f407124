from __future__ import annotations

import os

import optuna
import pytest

from tests.search.fake import FakeStages

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What survives a power cut is not tested here, and disks are slow."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> FakeStages:
    found = FakeStages()
    found.patch(monkeypatch)
    return found

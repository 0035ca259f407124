from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from harness.stages import STAGES
from tests.execution.fake import CountingStage
from tests.execution.stub import FOLDER, StubStage, install_in


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> CountingStage:
    counting = CountingStage()
    monkeypatch.setitem(cast("dict[str, Any]", STAGES), "count", counting)
    return counting


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a stage that processes of their own know too; see `tests.execution.stub`."""
    folder = tmp_path / "stub"
    folder.mkdir()
    install_in(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv(FOLDER, str(folder))
    monkeypatch.setitem(cast("dict[str, Any]", STAGES), "stub", StubStage())
    return folder

from __future__ import annotations

from typing import Any, cast

import pytest

from harness.stages import STAGES
from tests.execution.fake import CountingStage


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> CountingStage:
    counting = CountingStage()
    monkeypatch.setitem(cast("dict[str, Any]", STAGES), "count", counting)
    return counting

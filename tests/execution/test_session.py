"""A run that is kept open takes plans at any time, tells what ended, and can be told to stop."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.execution.backends import InProcessBackend
from harness.execution.job import Outcome
from harness.execution.queue import Room
from harness.execution.session import Session
from harness.execution.store import ArtifactStore
from tests.execution.fake import CountingStage, diamond, plan_of, run, step


def _rest(session: Session) -> list[str]:
    told = []
    while not session.is_idle:
        told += [f"{ended.state} {ended.step.label}" for ended in session.advance()]
    return told


def test_a_plan_added_while_another_runs_shares_its_steps(stage: CountingStage, tmp_path: Path) -> None:
    plan, steps = diamond()
    with Session(ArtifactStore(tmp_path), InProcessBackend) as session:
        session.add(plan)
        assert [ended.step.label for ended in session.advance()] == ["a"]
        session.add(plan_of(steps["a"], steps["b"], step("f", [steps["b"]])), priority=1)
        assert _rest(session) == ["done b", "done f", "done c", "done d", "done e"]
        assert session.ended[steps["a"].fingerprint].state == "done"
    assert set(stage.runs.values()) == {1}


def test_what_has_an_artifact_is_told_once_without_a_backend(
    stage: CountingStage, tmp_path: Path
) -> None:
    plan, _ = diamond()
    run(plan, tmp_path)

    def refuse() -> InProcessBackend:
        raise AssertionError("nothing is to be run")

    with Session(ArtifactStore(tmp_path), refuse) as session:
        session.add(plan)
        assert _rest(session) == ["reused a", "reused b", "reused c", "reused d", "reused e"]
        session.add(plan)
        assert session.advance() == []


def test_cancelled_steps_do_not_run_until_they_are_added_again(
    stage: CountingStage, tmp_path: Path
) -> None:
    plan, steps = diamond()
    with Session(ArtifactStore(tmp_path), InProcessBackend) as session:
        session.add(plan)
        session.cancel([steps["c"].fingerprint])
        assert _rest(session) == ["cancelled c", "cancelled d", "done a", "done b", "done e"]
        session.add(plan)
        assert _rest(session) == ["done c", "done d"]
        assert session.ended[steps["d"].fingerprint].state == "done"
    assert set(stage.runs.values()) == {1}


def test_a_session_that_is_stopped_starts_nothing_more(stage: CountingStage, tmp_path: Path) -> None:
    plan, _ = diamond()
    with Session(ArtifactStore(tmp_path), InProcessBackend) as session:
        session.add(plan)
        session.advance()
        session.stop()
        assert _rest(session) == []
    assert stage.runs == {"a": 1}


def test_a_step_that_can_never_fit_is_refused_with_what_is_lacking(
    stage: CountingStage, tmp_path: Path
) -> None:
    class Tiny(InProcessBackend):
        @property
        def room(self) -> Room:
            return Room(cpus=0)

        def submit(self, job: object) -> None:
            raise HarnessError("asks for 1 CPU, there are 0")

        def cancel(self, names: Collection[str]) -> None:
            raise AssertionError

    with Session(ArtifactStore(tmp_path), Tiny) as session:
        session.add(plan_of(step("a")))
        with pytest.raises(HarnessError, match="asks for 1 CPU"):
            session.advance()


def test_room_that_comes_while_a_step_runs_is_used(stage: CountingStage, tmp_path: Path) -> None:
    class Growing(InProcessBackend):
        """Has room for one step, until it was waited for in vain."""

        slots = 1

        def wait(self, timeout: float | None = None) -> tuple[str, Outcome] | None:
            if self.slots == 1:
                assert timeout is not None, "nothing else tells of new nodes"
                self.slots = 2
                return None
            assert len(self._waiting) == 2
            return super().wait(timeout)

        @property
        def room(self) -> Room:
            return Room(cpus=self.slots - len(self._waiting))

    with Session(ArtifactStore(tmp_path), Growing) as session:
        session.add(plan_of(step("a"), step("b")))
        assert [ended.step.label for ended in session.advance()] == ["a"]

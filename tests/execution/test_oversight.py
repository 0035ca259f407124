"""Runs on one store see each other, obey what is asked, and make room by priority."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.execution.backends import InProcessBackend
from harness.execution.job import Outcome
from harness.execution.journal import Journal
from harness.execution.oversight import Oversight
from harness.execution.runner import RunSummary, run_plan
from harness.execution.runs import Ask, OwnRun, Run, Runs
from harness.execution.store import ArtifactStore
from harness.plan import Plan, Step
from tests.execution.fake import CountingStage, diamond, plan_of, step


def _run(
    plan: Plan, home: Path, on_event: Callable[[str, str], None], *, priority: int = 0
) -> RunSummary:
    def progress(event: str, one: Step, message: str) -> None:
        on_event(event, one.label)

    return run_plan(
        plan,
        ArtifactStore(home),
        InProcessBackend,
        progress=progress,
        oversight=Oversight(home, plan=plan, priority=priority, look_seconds=0.0),
    )


class Slow(InProcessBackend):
    """Has nothing to tell when it is first asked: the session believes that the step runs."""

    def __init__(self) -> None:
        super().__init__()
        self._is_first = True

    def wait(self, timeout: float | None = None) -> tuple[str, Outcome] | None:
        if self._is_first:
            self._is_first = False
            return None
        return super().wait(timeout)


def _asking(home: Path, when: str, ask: Ask) -> Callable[[str, str], None]:
    """Ask all living runs something when an event happens."""

    def on_event(event: str, label: str) -> None:
        if f"{event} {label}" == when:
            for run in Runs(home).living():
                Runs(home).ask(run, ask)

    return on_event


def test_a_run_is_seen_while_it_lasts(tmp_path: Path, stage: CountingStage) -> None:
    plan, _ = diamond()
    seen: list[list[Run]] = []
    _run(plan, tmp_path, lambda *_: seen.append(Runs(tmp_path).living()))
    (run,) = next(runs for runs in seen if runs)
    assert (run.study, run.steps) == ("fake", frozenset(plan.steps))
    assert Runs(tmp_path).living() == []
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_cancelled_step_takes_what_needs_it_along_and_is_taken_up_again(
    tmp_path: Path, stage: CountingStage
) -> None:
    plan, steps = diamond()
    ask = Ask(verb="cancel", steps=frozenset({steps["c"].fingerprint}), why="a test")
    summary = _run(plan, tmp_path, _asking(tmp_path, "done a", ask))
    assert {plan.steps[name].label for name in summary.cancelled} == {"c", "d"}
    assert stage.runs.keys() == {"a", "b", "e"}
    _run(plan, tmp_path, lambda *_: None)
    assert set(stage.runs.values()) == {1}
    assert stage.runs.keys() == {"a", "b", "c", "d", "e"}


def test_a_cancelled_study_starts_nothing_more(tmp_path: Path, stage: CountingStage) -> None:
    plan, _ = diamond()
    ask = Ask(verb="cancel", steps=None, why="a test")
    summary = _run(plan, tmp_path, _asking(tmp_path, "done a", ask))
    assert stage.runs.keys() == {"a"}
    assert len(summary.cancelled) == 4


@pytest.mark.parametrize("is_other_to_end", [False, True])
def test_a_running_step_goes_on_for_another_study_unless_that_is_to_end_too(
    is_other_to_end: bool, tmp_path: Path, stage: CountingStage
) -> None:
    plan, _ = diamond()
    a = next(iter(plan.steps.values()))
    runs = Runs(tmp_path)
    held: list[OwnRun] = []

    def begin(event: str) -> None:
        if event == "started" and not held:
            held.append(
                runs.begin(study="other", profile="", priority=0, cpus=1, gpus=0, steps={a.fingerprint})
            )
            ask = Ask(verb="cancel", steps=None, why="a test")
            for run in runs.living():
                if run.study == "fake" or is_other_to_end:
                    runs.ask(run, ask)

    summary = run_plan(
        plan,
        ArtifactStore(tmp_path),
        Slow,
        progress=lambda event, one, message: begin(event),
        oversight=Oversight(tmp_path, plan=plan, look_seconds=0.0),
    )
    held[0].end()
    done = [] if is_other_to_end else ["a"]
    assert [plan.steps[name].label for name in summary.done] == done
    assert len(summary.cancelled) == len(plan.steps) - len(done)


def test_what_a_cancelled_run_lets_go_nobody_keeps_going_for_it(
    tmp_path: Path, stage: CountingStage
) -> None:
    plan, _ = diamond()
    described: list[frozenset[str]] = []

    def on_event(event: str, label: str) -> None:
        if event == "started":
            for run in Runs(tmp_path).living():
                Runs(tmp_path).ask(run, Ask(verb="cancel", steps=None, why="a test"))
        else:
            described.extend(run.steps for run in Runs(tmp_path).living())

    _run(plan, tmp_path, on_event)
    assert described[-1] == frozenset()


def test_a_failed_step_is_tried_again_by_the_run_that_goes_on(
    tmp_path: Path, stage: CountingStage
) -> None:
    plan, steps = diamond()
    stage.failing = {"b"}
    ask = Ask(verb="retry", steps=frozenset({steps["b"].fingerprint}), why="mended")
    asked = _asking(tmp_path, "failed b", ask)

    def on_event(event: str, label: str) -> None:
        asked(event, label)
        if (event, label) == ("failed", "b"):
            stage.failing.clear()

    summary = _run(plan, tmp_path, on_event)
    assert (summary.failed, summary.skipped) == ({}, {})
    assert stage.runs == {"a": 1, "b": 2, "c": 1, "d": 1, "e": 1}


def test_a_run_waits_while_one_of_higher_priority_lacks_room(
    tmp_path: Path, stage: CountingStage
) -> None:
    plan = plan_of(step("a"), step("b"))
    first = Runs(tmp_path).begin(study="first", profile="", priority=1, cpus=1, gpus=0, steps=set())
    events: list[str] = []

    def on_event(event: str, label: str) -> None:
        events.append(event)
        if event == "done" and events.count("done") == 1:
            first.show_short(True)
        if event == "paused":
            first.show_short(False)

    _run(plan, tmp_path, on_event)
    assert events == ["started", "done", "paused", "started", "done"]
    first.end()


@pytest.mark.parametrize("priority", [1, 2])
def test_a_run_does_not_wait_for_one_of_no_higher_priority(
    priority: int, tmp_path: Path, stage: CountingStage
) -> None:
    other = Runs(tmp_path).begin(study="other", profile="", priority=1, cpus=1, gpus=0, steps=set())
    other.show_short(True)
    events: list[str] = []
    _run(
        plan_of(step("a"), step("b")), tmp_path, lambda event, _: events.append(event), priority=priority
    )
    assert events == ["started", "done", "started", "done"]
    other.end()


def test_the_journal_tells_of_a_running_step_that_was_cancelled(
    tmp_path: Path, stage: CountingStage
) -> None:
    plan = plan_of(step("a"))

    def on_event(event: str, one: Step, message: str) -> None:
        if event == "started":
            for run in Runs(tmp_path).living():
                Runs(tmp_path).ask(run, Ask(verb="cancel", steps=None, why="a test"))

    run_plan(
        plan,
        ArtifactStore(tmp_path),
        Slow,
        progress=on_event,
        oversight=Oversight(tmp_path, plan=plan, look_seconds=0.0),
    )
    (event,) = Journal(tmp_path / "journal.jsonl").latest().values()
    assert (event.kind, event.message) == ("cancelled", "a test")


def test_a_run_of_another_machine_that_stopped_to_beat_is_not_waited_for_and_swept(
    tmp_path: Path, stage: CountingStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("harness.execution.leases.this_place", lambda: "another machine")
        gone = Runs(tmp_path).begin(study="gone", profile="", priority=9, cpus=1, gpus=0, steps=set())
    gone.show_short(True)
    plan = plan_of(step("a"), step("b"))
    clock = itertools.count(0.0, 25.0)
    run_plan(
        plan,
        ArtifactStore(tmp_path),
        InProcessBackend,
        progress=lambda *_: None,
        oversight=Oversight(tmp_path, plan=plan, look_seconds=0.0, clock=lambda: next(clock)),
    )
    assert stage.runs == {"a": 1, "b": 1}
    assert list((tmp_path / "runs").iterdir()) == []
    gone.end()

"""What one step meets costs that step alone; what many meet alike is found out by few."""

from __future__ import annotations

import shutil
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.errors import NonFiniteError
from harness.execution.backends import InProcessBackend
from harness.execution.failures import PreemptedError
from harness.execution.integrity import Damage, damaged
from harness.execution.policy import Canaries
from harness.execution.queue import Room
from harness.execution.runner import RunSummary, run_plan
from harness.execution.session import Session
from harness.execution.store import ArtifactStore
from harness.plan import Plan, Step
from harness.plan.graph import make_step
from harness.stages import StepContext
from harness.study.document import Resources
from harness.study.queueing import QueuePolicy, Retries
from tests.execution.fake import CountingStage, diamond, plan_of, run, step, text_of
from tests.execution.stub import OutOfMemoryError


class SlotsBackend(InProcessBackend):
    """Takes several jobs, and runs them in order when it is waited for."""

    def __init__(self, slots: int) -> None:
        super().__init__()
        self._slots = slots

    @property
    def room(self) -> Room:
        return Room(cpus=self._slots - len(self._waiting), gpus=0)


@dataclass
class Unlucky:
    """A stage whose first runs of some steps end with errors."""

    errors: dict[str, list[BaseException]]
    stage: CountingStage
    micro_batches: list[int | None] = field(default_factory=list)

    def run(self, context: StepContext) -> None:
        self.micro_batches.append(context.resources.micro_batch)
        CountingStage.run(self.stage, context)
        if left := self.errors.get(context.config["name"]):
            raise left.pop(0)


def _run(
    plan: Plan, home: Path, backend: InProcessBackend | None = None, **policy: object
) -> tuple[RunSummary, list[str]]:
    events: list[str] = []
    summary = run_plan(
        plan,
        ArtifactStore(home),
        lambda: backend or InProcessBackend(),
        progress=lambda event, item, message: events.append(f"{event} {item.label}"),
        policy=QueuePolicy(**policy),  # type: ignore[arg-type]
    )
    return summary, events


@pytest.fixture
def unlucky(stage: CountingStage, monkeypatch: pytest.MonkeyPatch) -> Unlucky:
    made = Unlucky({}, stage)
    monkeypatch.setattr(stage, "run", made.run)
    return made


def test_a_preempted_step_is_tried_again_and_its_state_is_its_own(
    unlucky: Unlucky, tmp_path: Path
) -> None:
    unlucky.errors = {"a": [PreemptedError(), PreemptedError()]}
    summary, events = _run(plan_of(step("a")), tmp_path)
    assert summary.counts()["run"] == 1
    assert events == ["started a", "retried a", "started a", "retried a", "started a", "done a"]
    text = (tmp_path / "journal.jsonl").read_text()
    assert text.count('"preempted"') == 4, "kind and class of two events"


def test_each_kind_of_failure_has_a_budget_of_its_own(unlucky: Unlucky, tmp_path: Path) -> None:
    unlucky.errors = {"a": [PreemptedError(), MemoryError(), PreemptedError(), MemoryError()]}
    summary, _ = _run(plan_of(step("a")), tmp_path, retries=Retries(preempted=2, host_oom=1))
    (message,) = summary.failed.values()
    assert message.startswith("memory ran out: MemoryError")


def test_memory_that_runs_out_halves_the_sub_batch_and_nothing_else(
    unlucky: Unlucky, tmp_path: Path
) -> None:
    unlucky.errors = {"a": [OutOfMemoryError("CUDA out of memory"), MemoryError()]}
    item = make_step("count", {"name": "a"}, label="a", resources=Resources(micro_batch=512))
    summary, _ = _run(plan_of(item), tmp_path)
    assert summary.done == [item.fingerprint]
    assert unlucky.micro_batches == [512, 256, 128]


def test_a_loss_that_is_not_finite_fails_one_variant_with_its_batch_and_no_other(
    unlucky: Unlucky, tmp_path: Path
) -> None:
    names = "abcdef"
    unlucky.errors = {
        name: [NonFiniteError(f"loss is nan at step {i}, on pairs [{i}]")]
        for i, name in enumerate(names[:5])
    }
    summary, _ = _run(plan_of(*map(step, names)), tmp_path)
    assert len(summary.failed) == 5
    assert not summary.skipped
    assert "on pairs [0]" in next(iter(summary.failed.values()))


def _cell(task: str, model: str) -> Step:
    config = {"name": f"{task} {model}", "task": task, "model": model}
    return make_step("count", config, label=f"{task} {model}", resources=Resources())


def test_what_shares_all_that_the_failed_ones_share_is_given_up_and_nothing_else(
    unlucky: Unlucky, tmp_path: Path
) -> None:
    cells = [_cell(task, model) for task in ("t1", "t2") for model in "abcdefgh"]
    unlucky.errors = {f"t1 {model}": [RuntimeError("t1 has no split 17")] for model in "abcdefgh"}
    summary, _ = _run(plan_of(*cells), tmp_path)
    assert len(summary.failed) == 3
    assert len(summary.given_up) == 5
    assert set(summary.given_up.values()) == {
        "3 steps like it failed alike: RuntimeError: t1 has no split 17"
    }
    assert len(summary.done) == 8, "the other task is scored"


def test_a_fault_in_shared_code_costs_few_runs(unlucky: Unlucky, tmp_path: Path) -> None:
    cells = [_cell(task, model) for task in ("t1", "t2", "t3", "t4") for model in "abcdefgh"]
    unlucky.errors = {cell.label: [RuntimeError("no such function")] for cell in cells}
    summary, _ = _run(plan_of(*cells, step("after", [cells[-1]])), tmp_path)
    assert len(summary.failed) <= 6
    assert len(summary.failed) + len(summary.skipped) == len(cells) + 1
    unlucky.errors = {}
    again, _ = _run(plan_of(*cells), tmp_path)
    assert len(again.done) == len(cells), "a new run tries again"


def test_the_first_of_many_goes_alone_until_it_ended_well(stage: CountingStage, tmp_path: Path) -> None:
    plan = plan_of(*(step(str(index)) for index in range(10)))
    _, events = _run(plan, tmp_path, SlotsBackend(4))
    assert [event.split()[0] for event in events[:7]] == ["started", "done", *["started"] * 4, "done"]
    _, events = _run(plan_of(step("x"), step("y")), tmp_path, SlotsBackend(4))
    assert [event.split()[0] for event in events[:2]] == ["started", "started"]


def test_a_canary_that_sings_for_long_enough_lets_the_others_go(stage: CountingStage) -> None:
    now = [0.0]
    canaries = Canaries(120, clock=lambda: now[0])
    steps = [step(str(index)) for index in range(9)]
    for item in steps:
        canaries.added(item)
    canaries.started(steps[0])
    assert canaries.held() == {"count": 120.0}
    canaries.ended(steps[0], is_well=False)
    assert canaries.held() == {}, "the next one is the canary"
    canaries.started(steps[1])
    now[0] += 121
    assert canaries.held() == {}


Usage = namedtuple("Usage", "total used free")  # noqa: PYI024


def test_the_queue_pauses_while_the_disk_is_full_and_goes_on(
    stage: CountingStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [5 << 30, 0, 0, 0]

    def usage(_: object) -> Usage:
        return Usage(0, 0, free.pop(0) if len(free) > 1 else 5 << 30)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    events: list[str] = []
    with Session(
        ArtifactStore(tmp_path),
        InProcessBackend,
        progress=lambda event, item, message: events.append(f"{event} {message}"),
        look_seconds=0.0,
    ) as session:
        session.add(plan_of(step("a"), step("b")))
        while not session.is_idle:
            session.advance()
    assert [event.split()[0] for event in events] == ["started", "done", "paused", "started", "done"]
    assert "0.00 GiB are free" in events[2]
    assert "`queue.min_free_gib` (1)" in events[2]


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [_flip, Path.unlink], ids=["changed", "missing"])
def test_a_damaged_artifact_is_made_anew_before_it_is_read(
    harm: Callable[[Path], None], stage: CountingStage, tmp_path: Path
) -> None:
    plan, steps = diamond()
    run(plan_of(steps["a"], steps["b"], steps["c"]), tmp_path)
    store = ArtifactStore(tmp_path)
    events: list[str] = []
    with Session(
        store,
        InProcessBackend,
        progress=lambda event, item, _: events.append(f"{event} {item.label}"),
    ) as session:
        session.add(plan)
        harm(store.folder("count", steps["b"].fingerprint) / "text")
        while not session.is_idle:
            session.advance()
    assert "rebuilt b" in events
    assert stage.runs == {"a": 1, "b": 2, "c": 1, "d": 1, "e": 1}
    assert text_of(tmp_path, steps["d"]) == "d(b(a()),c(a()))"


def test_the_whole_store_can_be_checked(stage: CountingStage, tmp_path: Path) -> None:
    plan, steps = diamond()
    run(plan, tmp_path)
    store = ArtifactStore(tmp_path)
    _flip(store.folder("count", steps["e"].fingerprint) / "text")
    found = list(damaged(store))
    assert len(found) == 5
    (damage,) = [item for item in found if item is not None]
    assert isinstance(damage, Damage)
    assert damage.name == steps["e"].fingerprint
    assert "content changed" in damage.message

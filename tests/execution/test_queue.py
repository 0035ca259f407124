"""Steps leave the queue in the order of their urgency, and never before what they need."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from harness.execution.queue import Queue, Room
from harness.plan import Step
from harness.plan.graph import make_step
from harness.study.document import Resources
from tests.execution.fake import CountingStage, diamond, plan_of, step


def _sized(name: str, *, cpus: int = 1, gpus: float = 0.0, needs: Iterable[Step] = ()) -> Step:
    inputs = {f"input{index}": needed for index, needed in enumerate(needs)}
    resources = Resources(cpus=cpus, gpus=gpus)
    return make_step("count", {"name": name}, label=name, resources=resources, inputs=inputs)


def _drain(queue: Queue, room: Room | None = None) -> list[str]:
    labels = []
    while (taken := queue.take(room or Room())) is not None:
        labels.append(taken.label)
        queue.finish(taken.fingerprint)
    return labels


def test_the_step_with_the_longest_chain_behind_it_goes_first(stage: CountingStage) -> None:
    plan, _ = diamond()
    queue = Queue()
    queue.add(plan)
    assert _drain(queue) == ["a", "b", "c", "d", "e"]


def test_a_plan_of_higher_priority_overtakes_and_lends_its_priority_to_shared_steps(
    stage: CountingStage,
) -> None:
    shared, z = step("shared"), step("z")
    queue = Queue()
    queue.add(plan_of(step("x"), z, step("y", [z]), shared))
    queue.add(plan_of(shared, step("urgent", [shared])), priority=1)
    assert _drain(queue) == ["shared", "urgent", "z", "x", "y"]


def test_nothing_less_urgent_takes_what_a_larger_step_waits_for(stage: CountingStage) -> None:
    large = _sized("large", gpus=4)
    small, light = _sized("small", gpus=1), _sized("light")
    queue = Queue()
    queue.add(plan_of(large, step("after", [large]), small, light))
    taken = queue.take(Room(cpus=4, gpus=3))
    assert taken is not None
    assert taken.label == "light", "a step without a device may go on beside it"
    assert queue.take(Room(cpus=3, gpus=3)) is None
    taken = queue.take(Room(cpus=3, gpus=4))
    assert taken is not None
    assert taken.label == "large"


def test_a_cancelled_step_takes_along_what_needs_it_and_can_come_again(stage: CountingStage) -> None:
    plan, steps = diamond()
    queue = Queue()
    queue.add(plan)
    assert set(queue.cancel([steps["b"].fingerprint])) == {
        steps["b"].fingerprint,
        steps["d"].fingerprint,
    }
    assert _drain(queue) == ["a", "c", "e"]
    queue.add(plan)
    assert _drain(queue) == ["b", "d"]


def test_what_needs_a_failed_step_is_skipped_also_when_it_comes_later(stage: CountingStage) -> None:
    first = step("first")
    queue = Queue()
    queue.add(plan_of(first))
    queue.take(Room())
    queue.fail(first.fingerprint)
    second = step("second", [first])
    third = step("third", [second])
    assert queue.add(plan_of(first, second, third)) == [second.fingerprint, third.fingerprint]
    assert queue.cause(third.fingerprint) == first.fingerprint


@given(st.lists(st.tuples(st.sets(st.integers(0, 11), max_size=3), st.integers(1, 3)), max_size=12))
def test_every_step_comes_once_after_its_inputs_whatever_room_there_is(
    shapes: list[tuple[set[int], int]],
) -> None:
    from harness.stages import STAGES

    STAGES["count"] = CountingStage()  # type: ignore[assignment]
    try:
        steps: list[Step] = []
        for index, (needs, cpus) in enumerate(shapes):
            steps.append(
                _sized(str(index), cpus=cpus, needs=[steps[i] for i in sorted(needs) if i < index])
            )
        queue = Queue()
        queue.add(plan_of(*steps))
        order = _drain(queue, Room(cpus=3))
        assert sorted(order, key=int) == [str(index) for index in range(len(shapes))]
        for index, (needs, _) in enumerate(shapes):
            assert all(order.index(str(i)) < order.index(str(index)) for i in needs if i < index)
        assert queue.num("done") == len(shapes)
    finally:
        del STAGES["count"]

"""A forecast is a range, net of what is there, and tightens with what was recorded."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import StudyError
from harness.plan import Plan, Step, compile_plan
from harness.plan.costs import Recorded, step_costs
from harness.plan.forecast import check_budget, forecast, level_costs, over_budget, show
from harness.plan.graph import make_step, merge_steps
from harness.plan.ranges import Range, product, total
from harness.plan.schedule import Schedule
from harness.plan.work import Surroundings, parameters
from harness.stages import STAGES
from harness.study import Study, load_study
from harness.study.document import Resources
from tests.plan.test_comparability import copy_half
from tests.study.builders import STUDY, edited, write_study

ON_GPUS = "resources: {devices: 2, price_per_gpu_hour: 3, train: {gpus: 1}, evaluate: {gpus: 0.5}}\n"


def _load(folder: Path, text: str = STUDY) -> tuple[Study, Plan]:
    study = load_study(write_study(folder, text))
    return study, compile_plan(study)


def _record(plan: Plan, name: str, seconds: float, **config: Any) -> Recorded:
    """Return a record of a training step of the plan, with other settings where given."""
    step = plan.steps[name]
    base = next(one for one in plan.steps.values() if one.stage == "base")
    settings = {**step.config["contrastive"], **config}
    return Recorded(
        stage=step.stage,
        config={**step.config, "contrastive": settings},
        around=Surroundings(base=base.config),
        seconds=seconds,
        num_bytes=1000,
        is_on_gpu=step.resources.gpus > 0,
    )


def _training(plan: Plan) -> str:
    return next(name for name, step in plan.steps.items() if step.stage == "contrast")


def test_without_records_every_cost_is_a_range_above_nothing(tmp_path: Path) -> None:
    _, plan = _load(tmp_path, STUDY + "references: [untrained, bm25]\n")
    for cost in step_costs(plan).values():
        assert 0 < cost.seconds.low < cost.seconds.high
        assert cost.basis in {"FLOPs", "rule of thumb"}


def test_records_of_like_steps_beat_scaled_ones_and_those_beat_flops(tmp_path: Path) -> None:
    _, plan = _load(tmp_path)
    name = _training(plan)
    like = _record(plan, name, 100.0, temperature=0.5)
    longer = _record(plan, name, 900.0, steps=8)
    exact = step_costs(plan, recorded=[longer, like])[name]
    assert exact.basis == "records of like steps"
    assert exact.seconds.low <= 100.0 <= exact.seconds.high < 200.0
    scaled = step_costs(plan, recorded=[longer])[name]
    assert scaled.basis == "records, scaled by tokens"
    assert scaled.seconds.low <= 450.0 <= scaled.seconds.high < 900.0
    assert exact.num_bytes == Range(1000, 1000)
    unknown = step_costs(plan)[name]
    assert unknown.seconds.high / unknown.seconds.low > scaled.seconds.high / scaled.seconds.low


def test_a_record_from_a_processor_says_nothing_of_a_gpu(tmp_path: Path) -> None:
    _, plan = _load(tmp_path, STUDY)
    record = _record(plan, _training(plan), 100.0)
    _, on_gpu = _load(tmp_path, STUDY + ON_GPUS)
    assert step_costs(on_gpu, recorded=[record])[_training(on_gpu)].basis == "FLOPs"


def test_what_is_there_costs_nothing(tmp_path: Path) -> None:
    study, plan = _load(tmp_path, STUDY + ON_GPUS)
    costs = step_costs(plan)
    everything = forecast(plan, costs, set(plan.steps), study)
    training = _training(plan)
    rest = forecast(plan, costs, set(plan.steps) - {training}, study)
    assert rest.num_steps == everything.num_steps - 1
    saved = everything.gpu_hours.high - rest.gpu_hours.high
    assert saved == pytest.approx(costs[training].seconds.high / 3600)
    assert rest.tokens.high < everything.tokens.high
    nothing = forecast(plan, costs, set(), study)
    assert nothing.wall_hours == nothing.gpu_hours == nothing.disk_gib == Range(0.0, 0.0)


def test_money_is_gpu_hours_at_their_price(tmp_path: Path) -> None:
    study, plan = _load(tmp_path, STUDY + ON_GPUS)
    found = forecast(plan, step_costs(plan), set(plan.steps), study)
    assert found.money == found.gpu_hours.times(3)
    assert found.devices == 2
    free, plan = _load(tmp_path)
    assert forecast(plan, step_costs(plan), set(plan.steps), free).money is None


def test_the_speed_of_a_device_narrows_the_range(tmp_path: Path) -> None:
    path = copy_half(tmp_path, "resources: {train: {gpus: 8}}\n")
    plan = compile_plan(load_study(path))
    known, unknown = (
        step_costs(plan, teraflops=speed)[_training(plan)].seconds for speed in (300.0, None)
    )
    assert known.high / known.low < unknown.high / unknown.low


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("Llama-3.2-1B-Instruct", 1.0),
        ("Qwen2.5-1.5B", 1.5),
        ("e5-mistral-7b-instruct", 7.0),
        ("SmolLM2-135M-Instruct.Q4_1", 0.135),
    ],
)
def test_the_size_of_a_base_is_read_from_its_name(name: str, billions: float) -> None:
    found = parameters(Surroundings(base={"model": {"base": name}}))
    assert found.low <= billions * 1e9 <= found.high < 1.3e9 * billions


def test_the_size_of_a_local_base_is_counted(tiny_checkpoint: Path) -> None:
    from safetensors import safe_open

    whole = Surroundings(base={"model": {}}, base_path=str(tiny_checkpoint))
    found = parameters(whole)
    num = 0
    for file in tiny_checkpoint.glob("*.safetensors"):
        with safe_open(file, framework="pt") as weights:
            num += sum(weights.get_tensor(key).numel() for key in weights.keys())  # noqa: SIM118
    assert found.low == found.high == pytest.approx(num, rel=0.4)
    cut = Surroundings(base={"model": {"num_layers": 1}}, base_path=str(tiny_checkpoint))
    assert parameters(cut).high < found.high


def test_a_study_over_its_budget_is_refused_with_the_dearest_factor(tmp_path: Path) -> None:
    text = edited("on: {reconstruction.steps: 2,", "on: {reconstruction.steps: 2000,")
    study, plan = _load(tmp_path, text + ON_GPUS + "budget: {gpu_hours: 1e-9}\n")
    costs = step_costs(plan)
    found = forecast(plan, costs, set(plan.steps), study)
    with pytest.raises(StudyError, match=r"budget.gpu_hours: .* the budget is 1e-09") as caught:
        check_budget(study, plan, costs, set(plan.steps), found)
    cure = caught.value.cure
    assert cure.index("reconstruction (on: ") < cure.index("contrastive.temperature (0.05: ")
    by_level = level_costs(study, plan, costs, set(plan.steps))
    reconstruct = next(name for name, step in plan.steps.items() if step.stage == "reconstruct")
    assert by_level["reconstruction"]["on"].high > costs[reconstruct].seconds.high / 3600


def test_a_budget_that_only_the_upper_end_breaks_is_told_and_not_refused(tmp_path: Path) -> None:
    study, plan = _load(tmp_path, STUDY + ON_GPUS)
    costs = step_costs(plan)
    found = forecast(plan, costs, set(plan.steps), study)
    limit = (found.gpu_hours.middle + found.gpu_hours.high) / 2
    study, plan = _load(tmp_path, STUDY + ON_GPUS + f"budget: {{gpu_hours: {limit}}}\n")
    check_budget(study, plan, costs, set(plan.steps), found)
    (told,) = over_budget(study, found)
    assert "budget.gpu_hours" in told


_GRAPHS = st.lists(
    st.tuples(st.floats(0.1, 50), st.lists(st.integers(0, 30), max_size=3)), min_size=1, max_size=25
)


@given(graph=_GRAPHS, devices=st.integers(1, 5))
def test_list_scheduling_keeps_grahams_bounds(
    graph: list[tuple[float, list[int]]], devices: int
) -> None:
    """Between the lower bounds, and total / m + (1 - 1/m) times the critical path (Graham, 1969)."""
    name = next(iter(STAGES))
    steps: list[Step] = []
    seconds = {}
    for index, (duration, needs) in enumerate(graph):
        inputs = {f"i{n}": steps[n % index] for n in needs} if index else {}
        step = make_step(name, {"n": index}, label="", resources=Resources(), inputs=inputs)
        steps.append(step)
        seconds[step.fingerprint] = duration
    plan = Plan(study="x", steps=merge_steps(steps), rows=())
    length = Schedule(plan, seconds, devices=devices).length(seconds)
    work, path = sum(seconds.values()), max(plan.urgencies(seconds).values())
    assert length >= max(path, work / devices) - 1e-9
    assert length <= work / devices + (1 - 1 / devices) * path + 1e-9


def test_a_step_that_needs_all_devices_waits_for_them() -> None:
    name = next(iter(STAGES))
    small, large = (
        make_step(name, {"n": gpus}, label="", resources=Resources(gpus=gpus)) for gpus in (1.0, 8.0)
    )
    plan = Plan(study="x", steps=merge_steps([small, large]), rows=())
    seconds = {small.fingerprint: 2.0, large.fingerprint: 5.0}
    assert Schedule(plan, seconds, devices=2).length(seconds) == 7.0


def test_longer_steps_are_more_urgent_than_shorter_ones(tmp_path: Path) -> None:
    suite = "news: {source: news, tasks: [BBCTopicClassification]}"
    text = edited(suite, "news: {tasks: [SciFact, MSMARCO]}")
    _, plan = _load(tmp_path, text)
    urgencies = plan.urgencies()
    row = plan.rows[0].members[0]
    assert urgencies[row.evaluations["news", "MSMARCO"]] > urgencies[row.evaluations["news", "SciFact"]]


_RANGES = st.tuples(st.floats(1e-3, 1e3), st.floats(1, 50)).map(lambda x: Range(x[0], x[0] * x[1]))


@given(ranges=st.lists(_RANGES, min_size=1, max_size=5))
def test_independent_factors_are_not_all_at_their_worst_at_once(ranges: list[Range]) -> None:
    found = product(*ranges)
    worst_low, worst_high = 1.0, 1.0
    for one in ranges:
        worst_low, worst_high = worst_low * one.low, worst_high * one.high
    assert worst_low <= found.low * (1 + 1e-9)
    assert found.high <= worst_high * (1 + 1e-9)
    widest = max(one.high / one.low for one in ranges)
    assert found.high / found.low >= widest * (1 - 1e-9)
    summed = total(ranges)
    assert summed.low <= summed.high


def test_ranges_are_shown_with_two_digits() -> None:
    shown = [show(Range(low, high)) for low, high in itertools.pairwise((0.0123, 1.99, 250.0, 3.2e9))]
    assert shown == ["0.012 to 2", "2 to 250", "250 to 3.2 G"]

"""A search meets its target, shares cells, and tells failures from bad trials."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.search.driver import classify
from harness.search.ledger import FAILURE, SEEDED
from harness.search.opening import open_ledger
from tests.search.fake import STUDY, Done, FakeStages, edited, make_study, search

CHOICES = edited(
    "{kind: float, low: 0.005, high: 0.1, log: true}",
    "{kind: categorical, choices: [0.005, 0.01, 0.02, 0.05]}",
)
GRID = edited("  trials: 20\n", "  trials: 50\n  sampler: {kind: grid}\n", text=CHOICES)
CONDITION = (
    "    reconstruction:\n"
    "      kind: categorical\n"
    "      choices: {off: {}, on: {reconstruction.steps: 4}}\n"
    "    reconstruction.alpha: {kind: float, low: 0, high: 1, step: 0.5, when: {reconstruction: on}}\n"
)


def points(*searches: Done) -> set[str]:
    return {json.dumps(t.params, sort_keys=True) for one in searches for t in one.ledger.trials()}


def best(done: Done) -> float:
    return float(done.ledger.study.best_value)


def test_the_target_is_met_and_good_points_are_found(stages: FakeStages, tmp_path: Path) -> None:
    done = search(make_study(tmp_path), tmp_path / "home")
    assert done.states == {"COMPLETE": 20}
    assert abs(done.ledger.study.best_params["contrastive.temperature"] - 0.02) < 0.01
    assert stages.runs["contrast"] == len(points(done))
    assert len(done.asks.splitlines()) == 20


def test_a_search_that_is_done_runs_nothing_and_a_higher_target_goes_on(
    stages: FakeStages, tmp_path: Path
) -> None:
    first = search(make_study(tmp_path), tmp_path / "home")
    before = stages.runs.copy()
    again = search(make_study(tmp_path), tmp_path / "home")
    assert (again.asks, stages.runs) == (first.asks, before)
    more = search(make_study(tmp_path, edited("trials: 20", "trials: 22")), tmp_path / "home")
    assert more.asks.splitlines()[:20] == first.asks.splitlines()
    assert more.states == {"COMPLETE": 22}


def test_numbers_have_few_digits_within_their_range(stages: FakeStages, tmp_path: Path) -> None:
    for trial in search(make_study(tmp_path), tmp_path / "home").ledger.trials():
        value = trial.params["contrastive.temperature"]
        assert value == float(f"{value:.4g}")
        assert 0.005 <= value <= 0.1


def test_another_seed_reuses_every_repeated_cell(stages: FakeStages, tmp_path: Path) -> None:
    first = search(make_study(tmp_path, CHOICES), tmp_path / "home")
    other = edited("  trials: 20\n", "  trials: 20\n  sampler: {seed: 1}\n", text=CHOICES)
    second = search(make_study(tmp_path, other), tmp_path / "home")
    assert first.asks != second.asks
    assert not any(SEEDED in trial.user_attrs for trial in second.ledger.trials())
    assert stages.runs["contrast"] == len(points(first, second)) <= 12
    repeated = len(points(first)) + len(points(second)) - len(points(first, second))
    assert repeated > 0
    known = [line for line in second.said if "known already" in line]
    assert len(known) >= repeated


def test_equal_trials_that_run_at_once_are_trained_once(stages: FakeStages, tmp_path: Path) -> None:
    one = edited("choices: [4, 8, 16]", "choices: [4]", text=CHOICES)
    one = edited("choices: [0.005, 0.01, 0.02, 0.05]", "choices: [0.02]", text=one)
    done = search(make_study(tmp_path, one), tmp_path / "home", workers=8)
    assert done.states == {"COMPLETE": 20}
    assert stages.runs["contrast"] == 1
    assert len({trial.value for trial in done.ledger.trials()}) == 1


def test_a_grid_asks_for_every_point_once_and_then_ends(stages: FakeStages, tmp_path: Path) -> None:
    text = edited("  objectives:", f"{CONDITION}  objectives:", text=GRID)
    done = search(make_study(tmp_path, text), tmp_path / "home")
    assert done.states == {"COMPLETE": 4 * 3 * (1 + 3)}
    assert len(points(done)) == 48
    assert all(
        ("reconstruction.alpha" in trial.params) == (trial.params["reconstruction"] == "on")
        for trial in done.ledger.trials()
    )


@pytest.mark.parametrize("kind", ["tpe", "cmaes", "random"])
def test_conditions_hold_with_every_sampler(kind: str, stages: FakeStages, tmp_path: Path) -> None:
    text = edited("  objectives:", f"{CONDITION}  objectives:")
    text = edited(
        "trials: 20\n", f"trials: 16\n  sampler: {{kind: {kind}, startup_trials: 4}}\n", text=text
    )
    done = search(make_study(tmp_path, text), tmp_path / "home")
    assert done.states == {"COMPLETE": 16}
    kinds = {
        (t.params["reconstruction"], "reconstruction.alpha" in t.params) for t in done.ledger.trials()
    }
    assert kinds <= {("on", True), ("off", False)}


def test_a_gaussian_process_may_choose(stages: FakeStages, tmp_path: Path) -> None:
    text = edited("trials: 20\n", "trials: 5\n  sampler: {kind: gp, startup_trials: 4}\n")
    assert search(make_study(tmp_path, text), tmp_path / "home", workers=1).states == {"COMPLETE": 5}


def test_failed_trials_are_told_apart_replaced_and_end_nothing(
    stages: FakeStages, tmp_path: Path
) -> None:
    stages.failing_ranks = {16: "CUDA out of memory: tried 9 GiB", 8: "no such pair set"}
    done = search(
        make_study(tmp_path, edited("trials: 20", "trials: 8\n  replace_failed: 99")), tmp_path / "home"
    )
    assert done.states["COMPLETE"] == 8
    assert done.states["FAIL"] > 0
    failed = [trial for trial in done.ledger.trials() if trial.state.name == "FAIL"]
    for trial in failed:
        is_large = trial.params["contrastive.tuning.rank"] == 16
        assert trial.user_attrs[FAILURE]["kind"] == ("out_of_memory" if is_large else "error")
        assert trial.values is None
    assert any("failed (out_of_memory)" in line for line in done.said)


def test_failures_beyond_the_limit_count_to_the_target(stages: FakeStages, tmp_path: Path) -> None:
    stages.failing_ranks = {4: "no", 8: "no", 16: "no"}
    text = edited("trials: 20", "trials: 5\n  replace_failed: 3")
    assert search(make_study(tmp_path, text), tmp_path / "home").states == {"FAIL": 8}


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("CUDA out of memory. Tried to allocate", "out_of_memory"),
        ("the machine ran out of memory: x", "out_of_memory"),
        ("MemoryError: ", "out_of_memory"),
        ("the worker: memory ran out", "out_of_memory"),
        ("loss is nan at step 3, on pairs [1]", "not_finite"),
        ("no such pair set", "error"),
    ],
)
def test_failures_are_classified_by_what_they_say(message: str, kind: str) -> None:
    assert classify(message) == kind


def test_points_whose_recipe_contradicts_itself_fail_alone(stages: FakeStages, tmp_path: Path) -> None:
    clash = (
        "    reconstruction.targets: {kind: categorical, choices: [text, prompted]}\n"
        "    reconstruction.mask_prompt: {kind: categorical, choices: [false, true],"
        " when: {reconstruction.targets: [text, prompted]}}\n"
    )
    text = edited("  objectives:", f"{clash}  objectives:")
    text = edited("data: {source", "reconstruction: {targets: prompted}\n  data: {source", text=text)
    done = search(make_study(tmp_path, text), tmp_path / "home")
    assert done.states["COMPLETE"] == 20
    kinds = {t.user_attrs[FAILURE]["kind"] for t in done.ledger.trials() if t.state.name == "FAIL"}
    assert kinds == {"invalid"}


def test_several_objectives_are_traded_against_each_other(stages: FakeStages, tmp_path: Path) -> None:
    text = edited("[{maximize: dev}]", "[{maximize: dev.BBCTopicClustering}, {minimize: parameters}]")
    done = search(make_study(tmp_path, text), tmp_path / "home")
    assert done.states == {"COMPLETE": 20}
    for trial in done.ledger.trials():
        assert trial.values[1] == 10 * trial.params["contrastive.tuning.rank"]
    assert {trial.values[1] for trial in done.ledger.study.best_trials} >= {40.0}


def test_a_changed_space_starts_from_the_trials_that_fit(stages: FakeStages, tmp_path: Path) -> None:
    first = search(make_study(tmp_path), tmp_path / "home")
    before = stages.runs["contrast"]
    narrower = edited("choices: [4, 8, 16]", "choices: [8, 16]")
    done = search(make_study(tmp_path, narrower), tmp_path / "home")
    fitting = [t for t in first.ledger.trials() if t.params["contrastive.tuning.rank"] != 4]
    seeded = [t for t in done.ledger.trials() if SEEDED in t.user_attrs]
    assert 0 < len(fitting) < 20
    assert [(t.params, t.value) for t in seeded] == [(t.params, t.value) for t in fitting]
    assert f"{len(fitting)} of 20 trials" in done.said[0]
    assert len(done.ledger.trials()) == len(fitting) + 20
    assert stages.runs["contrast"] <= before + 20


def test_a_changed_recipe_makes_old_values_unfit(stages: FakeStages, tmp_path: Path) -> None:
    search(make_study(tmp_path), tmp_path / "home")
    longer = edited("steps: 12", "steps: 24")
    done = search(make_study(tmp_path, longer), tmp_path / "home")
    assert "0 of 20 trials" in done.said[0]
    assert done.states == {"COMPLETE": 20}


def test_two_drivers_share_one_target(stages: FakeStages, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    threads = [
        threading.Thread(target=search, args=(study, tmp_path / "home"), kwargs={"workers": 2})
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = search(study, tmp_path / "home")
    assert done.states == {"COMPLETE": 20}
    assert stages.runs["contrast"] == len(points(done))


def test_batches_are_for_one_driver(stages: FakeStages, tmp_path: Path) -> None:
    study = make_study(tmp_path, edited("trials: 20", "trials: 20\n  batch: 4"))
    done = search(study, tmp_path / "home")
    with (
        open_ledger(done.cells, tell=done.said.append),
        pytest.raises(HarnessError, match="another driver"),
    ):
        search(study, tmp_path / "home")


def test_the_budget_ends_the_search_before_its_target(stages: FakeStages, tmp_path: Path) -> None:
    text = edited("trials: 20", "trials: 20\n  gpu_hours: 1e-12")
    text = edited("suites:", "resources: {train: {gpus: 1}}\nsuites:", text=text)
    done = search(make_study(tmp_path, text), tmp_path / "home", workers=2)
    assert done.states == {"COMPLETE": 2}
    assert search(make_study(tmp_path, text), tmp_path / "home").states == {"COMPLETE": 2}


def test_study_text_is_what_the_tests_think(tmp_path: Path) -> None:
    study = make_study(tmp_path, STUDY)
    assert study.search is not None
    assert study.search.trials == 20

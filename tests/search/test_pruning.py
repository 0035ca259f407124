"""Trials that do badly are ended early; what they left is kept, shared and shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.plan.rungs import at_rung
from harness.search.results import collect_search
from tests.search.fake import FakeStages, edited, make_study, search

RUNGS = edited(
    "trials: 20\n", "trials: 16\n  pruner: {kind: median, rungs: [3, 6, 12], startup_trials: 4}\n"
)
TASKS = "[SciFact, NFCorpus, STSBenchmark, Banking77Classification, ArguAna, SCIDOCS, QuoraRetrieval]"
WILCOXON = edited(
    "{source: news, role: development, tasks: [BBCTopicClassification, BBCTopicClustering]}",
    f"{{role: development, tasks: {TASKS}}}",
    text=edited("trials: 20\n", "trials: 16\n  pruner: {kind: wilcoxon}\n"),
)


def test_the_median_pruner_ends_trials_at_rungs(stages: FakeStages, tmp_path: Path) -> None:
    done = search(make_study(tmp_path, RUNGS), tmp_path / "home", workers=1)
    assert done.states["PRUNED"] > 0
    assert done.states["PRUNED"] + done.states["COMPLETE"] == 16
    for trial in done.ledger.trials():
        reached = list(trial.intermediate_values)
        # The rung at the last step is the end itself.
        assert reached in ([3], [3, 6])
        assert trial.state.name == "PRUNED" or reached == [3, 6]
    assert abs(done.ledger.study.best_params["contrastive.temperature"] - 0.02) < 0.02


def test_what_a_pruned_trial_left_is_shown_beside_the_trials(stages: FakeStages, tmp_path: Path) -> None:
    done = search(make_study(tmp_path, RUNGS), tmp_path / "home", workers=1)
    summary, records, _ = collect_search(done.cells, done.ledger)
    early = [row for row in summary.rows if row.role == "reference"]
    assert len(early) == done.states["PRUNED"]
    assert all(row.label.endswith(("(step 3)", "(step 6)")) for row in early)
    slugs = {member.slug for row in early for member in row.members}
    kept = [record for record in records if record.variant in slugs]
    assert len(kept) == 2 * len(early)
    assert all(record.state == "ok" for record in kept)


def test_a_rung_goes_on_from_the_one_before(
    stages: FakeStages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumed: list[tuple[int | None, int | None]] = []
    run = FakeStages.run

    def noting(self: FakeStages, name: str, context: object) -> None:
        if name == "contrast":
            before = context.bindings.get("resume")  # type: ignore[attr-defined]
            told = json.loads((Path(before) / "told.json").read_text()) if before else {}
            resumed.append((context.config.get("until"), told.get("until")))  # type: ignore[attr-defined]
        run(self, name, context)  # type: ignore[arg-type]

    monkeypatch.setattr(FakeStages, "run", noting)
    search(make_study(tmp_path, RUNGS), tmp_path / "home", workers=1)
    assert set(resumed) == {(3, None), (6, 3), (None, 6)}


def test_a_trial_of_a_finished_cell_needs_no_rung(stages: FakeStages, tmp_path: Path) -> None:
    plain = edited("trials: 20", "trials: 16")
    first = search(make_study(tmp_path, plain), tmp_path / "home", workers=1)
    before = stages.runs["contrast"]
    points = {str(trial.params) for trial in first.ledger.trials()}
    done = search(make_study(tmp_path, RUNGS), tmp_path / "home", workers=1)
    again = [trial for trial in done.ledger.trials() if str(trial.params) in points]
    assert again
    assert all(trial.state.name == "COMPLETE" for trial in again)
    new = [trial for trial in done.ledger.trials() if str(trial.params) not in points]
    rungs = sum(len(trial.intermediate_values) + (trial.state.name == "COMPLETE") for trial in new)
    assert stages.runs["contrast"] == before + rungs


def test_hyperband_ends_trials_at_rungs(stages: FakeStages, tmp_path: Path) -> None:
    text = edited("kind: median", "kind: hyperband", text=RUNGS)
    done = search(make_study(tmp_path, text), tmp_path / "home", workers=1)
    assert done.states["PRUNED"] > 0
    assert done.states["PRUNED"] + done.states["COMPLETE"] == 16


def test_wilcoxon_spares_the_tasks_of_trials_that_lose_on_the_first_ones(
    stages: FakeStages, tmp_path: Path
) -> None:
    done = search(make_study(tmp_path, WILCOXON), tmp_path / "home", workers=1)
    assert done.states["PRUNED"] > 0
    assert done.states["PRUNED"] + done.states["COMPLETE"] == 16
    scored = sum(len(trial.intermediate_values) for trial in done.ledger.trials())
    assert stages.runs["evaluate"] == scored < 7 * 16
    summary, records, _ = collect_search(done.cells, done.ledger)
    (early, *_) = [row for row in summary.rows if row.role == "reference"]
    assert early.label.endswith("(ended early)")
    missing = [record for record in records if record.state == "missing"]
    assert {record.reason for record in missing} == {"the search ended this trial early"}


@pytest.mark.parametrize("text", [RUNGS, WILCOXON], ids=["median", "wilcoxon"])
def test_batches_with_a_pruner_do_not_depend_on_speed(
    text: str, stages: FakeStages, tmp_path: Path
) -> None:
    study = make_study(tmp_path, edited("trials: 16\n", "trials: 16\n  batch: 4\n", text=text))
    first = search(study, tmp_path / "first")
    second = search(study, tmp_path / "second")
    assert first.asks == second.asks
    assert [(t.state, t.intermediate_values) for t in first.ledger.trials()] == [
        (t.state, t.intermediate_values) for t in second.ledger.trials()
    ]


def test_a_rung_is_another_step_and_shares_what_comes_before(stages: FakeStages, tmp_path: Path) -> None:
    done = search(make_study(tmp_path, edited("trials: 20", "trials: 1")), tmp_path / "home")
    plan = done.cells.plan(done.ledger.trials()[0].params)
    rung = at_rung(plan, 3)
    shared = set(plan.steps) & set(rung.steps)
    assert {plan.steps[name].stage for name in shared} == {"base", "source"}
    assert list(rung.steps.values())[-1].stage == "evaluate"
    for name, step in rung.steps.items():
        assert all(
            list(rung.steps).index(needed) < list(rung.steps).index(name)
            for needed in step.inputs.values()
        )
    (row,) = rung.rows
    (member,) = row.members
    assert rung.steps[member.model].config["until"] == 3
    assert member.slug.endswith(member.model[:12])

"""What a study's queue settings decide, on whole runs: how often, how many at once, and when not."""

from __future__ import annotations

import json
import shutil
from collections import Counter, namedtuple

import pytest

from harness.cli import retry, status
from harness.cli import run as run_verb
from harness.execution.journal import Journal
from tests.end_to_end.faults.conftest import CELLS, MODELS, ONCE, STUDY, Bench
from tests.execution import stub

Report = dict[str, bytes]
Usage = namedtuple("Usage", "total used free")  # noqa: PYI024


def _settle(bench: Bench, settings: str) -> None:
    """Give the study other queue settings, which are no part of what its steps are."""
    text = STUDY.replace("queue: {max_same_errors: 2}", f"queue: {{{settings}}}")
    assert text != STUDY
    (bench.folder / "faulty.yaml").write_text(text)


def _states(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Counter[str]:
    capsys.readouterr()
    status.command(str(bench.folder / "faulty.yaml"), home=bench.store.home, json=True)
    return Counter(step["state"] for step in json.loads(capsys.readouterr().out)["steps"])


def test_preemption_has_its_own_state_its_own_budget_and_its_own_retry(
    bench: Bench, undisturbed: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    _settle(bench, "retries: {preempted: 1, error: 0}")
    bench.order(contrast_0p02=["term", "term"], contrast_0p05=["error"])
    bench.run(code=1)
    assert bench.runs() == ONCE - Counter(CELLS) + Counter(["contrast-0.02"])
    assert _states(bench, capsys) == {
        "done": 3,
        "preempted": 1,
        "waiting": 3,
        "failed": 1,
        "blocked": 3,
    }
    retry.command(
        str(bench.folder / "faulty.yaml"),
        failed="preempted",
        home=bench.store.home,
        backend="in-process",
        reports=bench.folder / "reports",
        json=True,
    )
    assert bench.runs()["contrast-0.02"] == 3
    assert bench.runs()["contrast-0.05"] == 1
    assert bench.run() == undisturbed
    assert bench.runs() == ONCE + Counter(["contrast-0.02", "contrast-0.02", "contrast-0.05"])


def test_a_full_disk_holds_the_queue_until_there_is_space(
    bench: Bench,
    undisturbed: Report,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _settle(bench, "min_free_gib: 2")
    free = [5, 5, 1, 1]

    def usage(_: object) -> Usage:
        return Usage(0, 0, (free.pop(0) if free else 5) << 30)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert bench.run() == undisturbed
    assert bench.runs() == ONCE
    assert capsys.readouterr().err.count("1.00 GiB are free") == 1


def test_of_many_cells_with_a_shared_fault_few_are_tried_one_after_the_other(
    bench: Bench,
) -> None:
    tasks = "SciFact, NFCorpus, ArguAna, SCIDOCS"
    text = STUDY.replace("SciFact, NFCorpus, ArguAna", tasks)
    (bench.folder / "faulty.yaml").write_text(text)
    cells = [f"{task}-of-{model}" for task in tasks.split(", ") for model in MODELS]
    stub.order(bench.folder, {name: ["error"] for name in cells})
    bench.run(code=1)
    events = list(Journal(bench.store.home / "journal.jsonl").read())
    failed = {event.step for event in events if event.kind == "failed"}
    tried = {name for name in bench.runs() if name in cells}
    assert len(failed) == len(tried)
    kinds = [event.kind for event in events if event.step in failed]
    assert kinds == ["started", "failed"] * len(tried), "never two at once"
    assert len(tried) < len(cells) / 2
    stub.order(bench.folder, {})
    bench.run()
    assert bench.runs() == ONCE - Counter(CELLS) + Counter(cells) + Counter(tried)


def test_a_selection_runs_what_it_needs_and_the_rest_is_added_later(
    bench: Bench, undisturbed: Report
) -> None:
    run_verb.command(
        str(bench.folder / "faulty.yaml"),
        only=["contrastive.temperature=0.02"],
        without=["*ArguAna*"],
        home=bench.store.home,
        backend="in-process",
        reports=bench.folder / "reports",
        json=True,
    )
    model, cells = "contrast-0.02", ["SciFact-of-contrast-0.02", "NFCorpus-of-contrast-0.02"]
    assert bench.runs() == Counter(["source", "base", "reconstruct", model, *cells])
    assert bench.run() == undisturbed
    assert bench.runs() == ONCE

"""Whatever happens, `harness run` ends with an undisturbed run's bytes, and repeats nothing done."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest

from harness.execution.journal import Journal
from tests.end_to_end.faults.conftest import CELLS, ONCE, Bench, assert_gone

Report = dict[str, bytes]


def _only(bench: Bench, stage: str, text: str) -> Path:
    """Return the artifact of a stage whose text starts so."""
    folders = (bench.folder / "store" / "artifacts" / stage).iterdir()
    (found,) = [folder for folder in folders if (folder / "text").read_text().startswith(text)]
    return found


def _events(bench: Bench, kind: str) -> list[str]:
    return [
        event.failure
        for event in Journal(bench.store.home / "journal.jsonl").read()
        if event.kind == kind
    ]


def test_processes_give_the_bytes_of_one_process(bench: Bench, undisturbed: Report) -> None:
    assert bench.run() == undisturbed
    assert bench.runs() == ONCE
    assert bench.run() == undisturbed
    assert bench.runs() == ONCE


@pytest.mark.parametrize(
    ("deed", "kind"),
    [
        ("kill", {"preempted", "host-oom"}),
        ("term", {"preempted"}),
        ("cuda", {"cuda-oom"}),
        ("memory", {"host-oom"}),
        ("full", {"disk"}),
    ],
    ids=["worker killed", "preempted", "device memory", "host memory", "disk full"],
)
def test_what_may_pass_is_tried_again_within_the_run(
    deed: str, kind: set[str], bench: Bench, undisturbed: Report
) -> None:
    bench.order(contrast_0p02=[deed])
    assert bench.run() == undisturbed
    assert bench.runs() == ONCE + Counter(["contrast-0.02"])
    events = [*_events(bench, "failed"), *_events(bench, "preempted")]
    assert len(events) == 1
    assert set(events) <= kind


@pytest.mark.parametrize(
    ("deeds", "kind"),
    [(["cuda"] * 2, "cuda-oom"), (["memory"] * 3, "host-oom")],
    ids=["device", "host"],
)
def test_memory_that_never_suffices_costs_one_variant_and_names_what_to_set(
    deeds: list[str], kind: str, bench: Bench, undisturbed: Report
) -> None:
    bench.order(contrast_0p02=deeds)
    tables = bench.run(code=1)
    assert b"memory ran out" in tables["table.json"]
    events = Journal(bench.store.home / "journal.jsonl").read()
    told = [event.message for event in events if event.failure == kind]
    assert len(told) == len(deeds)
    assert all("`resources.train.micro_batch`, which leaves the effective batch" in one for one in told)
    assert bench.runs()["contrast-0.02"] == len(deeds)
    assert bench.run() == undisturbed
    assert bench.runs() == ONCE + Counter(["contrast-0.02"] * len(deeds))


def test_a_driver_that_is_killed_leaves_no_process_and_no_finished_step_behind(
    bench: Bench, undisturbed: Report
) -> None:
    bench.order(contrast_0p02=["hang"])
    driver = bench.start()
    processes = bench.until("hangs-contrast-0.02")
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    assert_gone(processes)
    # Whatever else was under way when the driver died.
    lost = bench.unfinished()
    assert lost["contrast-0.02"] == 1
    # A clock that was set back: all that was written lies in the future.
    for path in (bench.folder / "store").rglob("*"):
        os.utime(path, (4e9, 4e9))
    assert bench.run() == undisturbed
    assert bench.runs() == ONCE + lost


def test_a_loss_that_is_not_finite_costs_one_variant_and_names_the_pairs(
    bench: Bench, undisturbed: Report
) -> None:
    bench.order(contrast_0p02=["nan"])
    tables = bench.run(code=1)
    assert b"on pairs [4, 7]" in tables["table.json"]
    assert {name for name in ONCE if "of-contrast-0.05" in name} <= bench.runs().keys()
    assert not [name for name in bench.runs() if "of-contrast-0.02" in name]
    assert bench.run() == undisturbed
    assert bench.runs() == ONCE + Counter(["contrast-0.02"])


def test_a_changed_and_a_cut_short_artifact_are_made_anew(bench: Bench, undisturbed: Report) -> None:
    bench.run()
    model = _only(bench, "contrast", "contrast-0.02") / "text"
    model.write_text(model.read_text().replace("contrast", "CONTRAST"))
    shutil.rmtree(_only(bench, "evaluate", "SciFact-of-contrast-0.02"))
    (_only(bench, "evaluate", "NFCorpus-of-contrast-0.05") / "text").write_text("cut")
    assert bench.run() == undisturbed
    again = ["contrast-0.02", "SciFact-of-contrast-0.02", "NFCorpus-of-contrast-0.05"]
    assert bench.runs() == ONCE + Counter(again)


def test_a_fault_in_shared_code_ends_the_run_early_and_costs_nothing_later(
    bench: Bench, undisturbed: Report
) -> None:
    names = CELLS
    bench.order(**{name.replace("-", "_").replace("0.", "0p"): ["error"] for name in names})
    tables = bench.run(code=1)
    assert b"steps like it failed alike" in tables["table.json"]
    tried = sum(bench.runs()[name] for name in names)
    assert tried < len(names)
    bench.order()
    assert bench.run() == undisturbed
    assert sum(bench.runs().values()) == len(ONCE) + tried


def test_two_drivers_on_one_store_run_each_step_once(bench: Bench, undisturbed: Report) -> None:
    bench.order(contrast_0p02=["wait"])
    first = bench.start()
    bench.until("waits-contrast-0.02")
    second = bench.start()
    assert second.stderr is not None
    assert any("waiting for contrast" in line for line in second.stderr)
    (bench.folder / "go-contrast-0.02").touch()
    for driver in (first, second):
        driver.communicate()
        assert driver.returncode == 0
    assert bench.tables() == undisturbed
    assert bench.runs() == ONCE


def test_the_first_interrupt_finishes_what_runs_and_starts_nothing(
    bench: Bench, undisturbed: Report
) -> None:
    bench.order(reconstruct=["wait"])
    driver = bench.start()
    bench.until("waits-reconstruct")
    driver.send_signal(signal.SIGINT)
    assert driver.stderr is not None
    assert any("finishing 1 running steps" in line for line in driver.stderr)
    (bench.folder / "go-reconstruct").touch()
    _, said = driver.communicate()
    assert driver.returncode == 130
    assert "what was finished is kept" in said
    assert bench.runs() == Counter(["source", "base", "reconstruct"])
    assert bench.run() == undisturbed
    assert bench.runs() == ONCE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["two interrupts", "SIGTERM"])
def test_a_run_that_is_ended_ends_its_steps_too(
    number: signal.Signals, bench: Bench, undisturbed: Report
) -> None:
    bench.order(reconstruct=["hang"])
    driver = bench.start()
    processes = bench.until("hangs-reconstruct")
    driver.send_signal(number)
    assert driver.stderr is not None
    if number == signal.SIGINT:
        assert any("finishing 1 running steps" in line for line in driver.stderr)
        driver.send_signal(number)
    driver.communicate()
    assert driver.returncode == 128 + number
    assert_gone(processes)
    assert _events(bench, "preempted") == ["preempted"]
    assert bench.run() == undisturbed
    assert bench.runs() == ONCE + Counter(["reconstruct"])

"""The verbs of the queue, on a run that is under way in another process."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path

import pytest
import typer

from harness.cli import cancel, gc, logs, retry, status, verify
from harness.errors import HarnessError
from harness.execution.runs import Runs
from tests.end_to_end.faults.conftest import CELLS, ONCE, STUDY, Bench, assert_gone

Report = dict[str, bytes]


def _status(bench: Bench, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    """Return label of a step -> how it is."""
    capsys.readouterr()
    status.command(str(bench.folder / "faulty.yaml"), home=bench.store.home, json=True)
    found = json.loads(capsys.readouterr().out)
    return {step["step"]: step for step in found["steps"]}


def test_what_an_edit_takes_out_is_shown_and_cancelled_where_it_runs(
    bench: Bench, undisturbed: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.order(contrast_0p02=["hang"])
    driver = bench.start()
    processes = bench.until("hangs-contrast-0.02")
    states = _status(bench, capsys)
    running = [step["step"] for step in states.values() if step["state"] == "running"]
    assert any(name.startswith("contrast-") for name in running)
    study = bench.folder / "faulty.yaml"
    study.write_text(STUDY.replace("[0.02, 0.05]", "[0.05]"))
    bench.run()
    said = capsys.readouterr().err
    assert "4 steps are no longer in faulty; 0 of them are done" in said
    assert "cancelling 4 steps in the run on" in said
    assert_gone(processes)
    _, told = driver.communicate()
    assert driver.returncode == 1, told
    assert "4 steps are cancelled: no longer in the study" in told
    assert not Runs(bench.store.home).living()
    study.write_text(STUDY)
    assert bench.run() == undisturbed
    assert bench.runs() == ONCE + Counter(["contrast-0.02"])


def test_a_study_is_cancelled_and_goes_on_later(
    bench: Bench, undisturbed: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.order(contrast_0p02=["hang"], contrast_0p05=["hang"])
    driver = bench.start()
    processes = [*bench.until("hangs-contrast-0.02"), *bench.until("hangs-contrast-0.05")]
    (name,) = [one["step"] for one in _status(bench, capsys).values() if one["state"] == "running"][:1]
    reader = threading.Thread(
        target=logs.command, args=(name,), kwargs={"follow": True, "home": bench.store.home}
    )
    reader.start()
    cancel.command("faulty", home=bench.store.home)
    assert_gone(processes)
    driver.communicate()
    assert driver.returncode == 1
    reader.join(timeout=60)
    assert not reader.is_alive()
    states = Counter(one["state"] for one in _status(bench, capsys).values())
    assert states == {"done": 3, "cancelled": 2, "blocked": len(CELLS)}
    with pytest.raises(typer.Exit):
        cancel.command("faulty", home=bench.store.home)
    assert bench.run() == undisturbed
    assert bench.runs() == ONCE + Counter(["contrast-0.02", "contrast-0.05"])


def test_what_failed_is_tried_again_by_kind(bench: Bench, undisturbed: Report) -> None:
    bench.order(contrast_0p02=["nan"], contrast_0p05=["error"])
    bench.run(backend="in-process", code=1)
    study = str(bench.folder / "faulty.yaml")
    options = {
        "home": bench.store.home,
        "backend": "in-process",
        "reports": bench.folder / "reports",
        "json": True,
    }
    retry.command(study, failed="oom", **options)  # type: ignore[arg-type]
    assert bench.runs() == ONCE - Counter(CELLS)
    retry.command(study, failed="non-finite", **options)  # type: ignore[arg-type]
    assert bench.runs()["contrast-0.02"] == 2
    assert bench.runs()["contrast-0.05"] == 1
    retry.command(study, failed="any", **options)  # type: ignore[arg-type]
    assert bench.tables() == undisturbed
    with pytest.raises(HarnessError, match="'oops' is no kind of failure"):
        retry.command(study, failed="oops", **options)  # type: ignore[arg-type]


def test_a_store_is_checked_repaired_and_swept(
    bench: Bench, undisturbed: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.run(backend="in-process")
    verify.command(artifacts=True, home=bench.store.home)
    (damaged,) = (bench.store.home / "artifacts" / "base").iterdir()
    text: Path = damaged / "text"
    text.write_text(text.read_text().upper())
    with pytest.raises(typer.Exit):
        verify.command(artifacts=True, home=bench.store.home)
    assert f"damaged  base-{damaged.name[:12]}" in capsys.readouterr().out
    with pytest.raises(typer.Exit):
        verify.command(artifacts=True, repair=True, home=bench.store.home)
    assert not damaged.exists()
    assert bench.run(backend="in-process") == undisturbed
    assert bench.runs() == ONCE + Counter(["base"])
    verify.command(artifacts=True, home=bench.store.home)
    (bench.folder / "faulty.yaml").write_text(STUDY.replace("[0.02, 0.05]", "[0.05]"))
    bench.run(backend="in-process")
    gc.command(home=bench.store.home, yes=True)
    assert len(bench.store.names()) == len(ONCE) - 4
    assert bench.runs() == ONCE + Counter(["base"])


def test_a_step_that_is_not_known_is_told_with_what_is(bench: Bench) -> None:
    bench.run(backend="in-process")
    for verb in (logs.command, cancel.command):
        with pytest.raises(HarnessError, match="is called 'contrats-1'"):
            verb("contrats-1", home=bench.store.home)
        with pytest.raises(HarnessError, match="may be any of 6 steps"):
            verb("evaluate-", home=bench.store.home)

"""A study on a store in a bucket: several machines and drivers, one of each step, the same bytes."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.main import app
from harness.errors import StoreError
from harness.execution.runs import Runs
from tests import buckets
from tests.end_to_end.faults.conftest import ONCE, Bench, assert_gone, until

Report = dict[str, bytes]


@pytest.fixture
def shared(bench: Bench, bucket_home: Path) -> Bench:
    """The bench, with its store in a bucket."""
    return replace(bench, elsewhere=bucket_home)


def _say(bench: Bench, *arguments: str, code: int = 0) -> str:
    """Run a verb on the store in this process; return what it prints."""
    done = CliRunner().invoke(app, [*arguments, "--home", str(bench.home)])
    assert done.exit_code == code, done.output
    return done.stdout


def _json(bench: Bench, *arguments: str, code: int = 0) -> dict[str, object]:
    found: dict[str, object] = json.loads(_say(bench, *arguments, "--json", code=code))
    return found


def test_a_second_machine_reuses_all_and_every_verb_sees_the_same(
    shared: Bench, undisturbed: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shared.run() == undisturbed
    assert shared.runs() == ONCE
    buckets.become_machine(shared.folder / "second-machine", monkeypatch)
    assert shared.run(backend="in-process") == undisturbed
    assert shared.runs() == ONCE

    buckets.become_machine(shared.folder / "third-machine", monkeypatch)
    study = str(shared.folder / "faulty.yaml")
    (step,) = (one for one in shared.store.names() if one[0] == "source")
    done = _json(shared, "status", study)["counts"]
    assert done == {**dict.fromkeys(done, 0), "done": len(ONCE)}  # type: ignore[call-overload]
    assert "done" in _say(shared, "status")
    assert "source: " in _say(shared, "logs", step[1][:12])
    assert _say(shared, "tables", "faulty", "--format", "csv").encode() == undisturbed["table.csv"]
    assert _json(shared, "plan", study)["steps"]
    verified = _json(shared, "verify", "--artifacts")
    assert (verified["num_whole"], verified["damaged"]) == (len(ONCE), [])
    assert _json(shared, "gc", "--dry-run")["items"] == []
    for verb in (["search", study], ["import", str(shared.folder)]):
        with pytest.raises(StoreError, match="which a bucket cannot"):
            CliRunner().invoke(app, [*verb, "--home", str(shared.home)], catch_exceptions=False)
    secret = buckets.ENVIRONMENT["AWS_SECRET_ACCESS_KEY"].encode()
    for path in shared.folder.rglob("*-machine/**/*"):
        assert path.is_dir() or secret not in path.read_bytes()


def test_two_drivers_run_every_step_once(shared: Bench, undisturbed: Report) -> None:
    shared.order(source=["wait"])
    first = shared.start()
    shared.until("waits-source")
    second = shared.start()
    until(lambda: len(Runs(shared.store.location).living()) == 2)
    (shared.folder / "go-source").touch()
    for driver in (first, second):
        _, said = driver.communicate()
        assert driver.returncode == 0, said
    assert shared.runs() == ONCE
    assert shared.tables() == undisturbed
    assert Runs(shared.store.location).living() == []


def test_a_step_of_a_machine_that_died_goes_on_elsewhere_from_its_checkpoint(
    shared: Bench, undisturbed: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared.order(contrast_0p02=["hang"])
    driver = shared.start()
    (worker, child) = shared.until("hangs-contrast-0.02")
    until(lambda: any(key.endswith("manifest.json") for key in buckets.keys(shared.home, "partial/")))
    # At once, so that nobody says goodbye.
    os.killpg(worker, signal.SIGKILL)
    driver.kill()
    driver.communicate()
    assert_gone([worker, child])
    lost = shared.unfinished()
    assert lost["contrast-0.02"] == 1
    buckets.become_machine(shared.folder / "second-machine", monkeypatch)
    assert shared.run() == undisturbed
    assert (shared.folder / "resumed-contrast-0.02").read_text() == "contrast-0.02"
    assert shared.runs() == ONCE + lost
    assert buckets.keys(shared.home, "partial/") == []
    assert buckets.keys(shared.home, "leases/") == []


def test_what_was_damaged_in_the_bucket_is_made_anew(
    shared: Bench, undisturbed: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shared.run() == undisturbed
    (base,) = (one for one in shared.store.names() if one[0] == "base")
    (evaluation, *_) = (one for one in shared.store.names() if one[0] == "evaluate")
    (text,) = buckets.keys(shared.home, f"artifacts/base/{base[1]}/")
    buckets.overwrite(shared.home, text, b"x")
    buckets.remove(shared.home, buckets.keys(shared.home, f"artifacts/evaluate/{evaluation[1]}/")[0])
    buckets.become_machine(shared.folder / "second-machine", monkeypatch)
    found = _json(shared, "verify", "--artifacts", "--repair", code=1)
    assert (found["num_whole"], found["num_removed"]) == (len(ONCE) - 2, 2)
    assert shared.run() == undisturbed
    assert (shared.runs() - ONCE).total() == 2

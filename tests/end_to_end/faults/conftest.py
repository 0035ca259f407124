"""A study of two variants on stub stages, and an undisturbed run of it to compare with."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import typer

from harness.cli import run as run_verb
from harness.execution.homes import open_store
from harness.execution.machine import process_start
from harness.execution.store import ArtifactStore
from harness.stages import STAGES
from tests.conftest import REPOSITORY
from tests.end_to_end.faults import stages
from tests.execution import stub

STUDY = """\
name: faulty
question: Does the table survive?
bases: {tiny: {path: base}}
sources: {pairs: {kind: files, path: pairs.jsonl}}
suites: {dev: {tasks: [SciFact, NFCorpus, ArguAna]}}
recipe:
  model: {base: tiny}
  data: {source: pairs, pairs: default}
  reconstruction: {steps: 5}
  contrastive: {steps: 5}
factors: {contrastive.temperature: [0.02, 0.05]}
queue: {max_same_errors: 2}
"""
MODELS = ("contrast-0.02", "contrast-0.05")
CELLS = [f"{task}-of-{model}" for task in ("SciFact", "NFCorpus", "ArguAna") for model in MODELS]
ONCE = Counter(["source", "base", "reconstruct", *MODELS, *CELLS])
_SECONDS = 180.0


@dataclass(frozen=True)
class Bench:
    """A folder with the study, its store, its reports and the stub's orders."""

    folder: Path
    drivers: list[subprocess.Popen[str]] = field(default_factory=list)
    """Those that `start` started; ended with the test, however it goes."""
    elsewhere: Path | None = None
    """Home of the store, if it is not in the folder."""

    @property
    def home(self) -> Path:
        return self.elsewhere or self.folder / "store"

    @property
    def store(self) -> ArtifactStore:
        return open_store(self.home)

    def order(self, **orders: list[str]) -> None:
        """Say what steps do in their runs; `_` stands for `-` and `p` for the point of a number."""
        named = {name.replace("_", "-").replace("0p", "0."): deeds for name, deeds in orders.items()}
        assert not named.keys() - ONCE.keys()
        stub.order(self.folder, named)

    def runs(self) -> Counter[str]:
        """Return how often each step ran so far."""
        return stub.runs(self.folder)

    def unfinished(self) -> Counter[str]:
        """Return the steps that began and have no whole artifact; to be asked when nothing runs."""
        store = self.store
        texts = [
            (store.fetch(stage, name) / "text").read_text()
            for stage, name in store.names()
            if store.has(stage, name)
        ]
        return Counter(self.runs().keys() - {text.partition("(")[0] for text in texts})

    def run(self, *, backend: Any = "processes", code: int = 0, address: str = "") -> dict[str, bytes]:
        """Run the study in this process; return the files of its report."""
        seen = 0
        try:
            run_verb.command(
                str(self.folder / "faulty.yaml"),
                home=self.home,
                backend=backend,
                address=address,
                workers=2,
                reports=self.folder / "reports",
                json=True,
            )
        except typer.Exit as end:
            seen = end.exit_code
        assert seen == code
        return self.tables()

    def tables(self) -> dict[str, bytes]:
        folder = self.folder / "reports" / "faulty"
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    def start(self, backend: str = "processes", *more: str) -> subprocess.Popen[str]:
        """Start a driver of its own."""
        arguments = ["run", "faulty.yaml", "--home", str(self.home), "--backend", backend, *more]
        path = os.pathsep.join(path for path in sys.path if path)
        driver = subprocess.Popen(
            [sys.executable, "-m", "harness.cli", *arguments, "--workers", "2", "--reports", "reports"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.drivers.append(driver)
        return driver

    def until(self, name: str) -> list[int]:
        """Wait for a step to hang or wait; return the processes that it told."""
        until(lambda: (self.folder / name).exists())
        return [int(word) for word in (self.folder / name).read_text().split()]


def until(is_so: Any) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + _SECONDS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.005)


def assert_gone(processes: list[int]) -> None:
    until(lambda: not any(process_start(process) for process in processes))


@pytest.fixture(autouse=True)
def _stub_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("source", "base", "reconstruct", "contrast", "evaluate"):
        monkeypatch.setitem(cast("dict[str, Any]", STAGES), name, stages.TextStage(name))


def make_bench(folder: Path) -> Bench:
    folder.mkdir(exist_ok=True)
    (folder / "base").mkdir()
    (folder / "base" / "config.json").write_text("{}")
    (folder / "pairs.jsonl").write_text('{"query": "a", "positive": "b"}\n')
    (folder / "faulty.yaml").write_text(STUDY)
    stub.install_in(folder, "tests.end_to_end.faults.stages")
    return Bench(folder)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = make_bench(tmp_path / "bench")
    monkeypatch.setenv(stub.FOLDER, str(made.folder))
    monkeypatch.syspath_prepend(str(made.folder))
    monkeypatch.syspath_prepend(str(REPOSITORY))
    yield made
    for driver in made.drivers:
        driver.kill()
        driver.wait()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The report of a run that nothing disturbed, one step after the other."""
    made = make_bench(tmp_path_factory.mktemp("undisturbed") / "bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(stub.FOLDER, str(made.folder))
        for name in ("source", "base", "reconstruct", "contrast", "evaluate"):
            patch.setitem(cast("dict[str, Any]", STAGES), name, stages.TextStage(name))
        tables = made.run(backend="in-process")
        assert made.runs() == ONCE
    # Not from within: the light stages would stand in for the real ones until the last test.
    return tables

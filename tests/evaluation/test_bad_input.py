"""What is wrong with one cell stays with it: the others get their scores and keep them."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.execution.backends import InProcessBackend
from harness.execution.collect import collect
from harness.execution.journal import Journal
from harness.execution.runner import RunSummary, run_plan
from harness.execution.store import ArtifactStore
from harness.models.embedder import Embedder
from harness.plan import compile_plan
from harness.records.schema import Record
from harness.study import load_study
from tests.study.builders import STUDY

_TASKS = ("STSBenchmark", "Banking77Classification")


class _Bench:
    """A study without training over two small tasks, run as often as a test likes."""

    def __init__(self, folder: Path, checkpoint: Path, mirror: Path, *, bases: str = "") -> None:
        text = STUDY[: STUDY.index("recipe:")].replace("{path: tiny}", f"{{path: {checkpoint}}}{bases}")
        text += (
            "recipe:\n  model: {base: tiny, max_length: 32}\n"
            "  data: {source: news, pairs: headlines}\n  contrastive: {steps: 0}\n"
            f"suites:\n  main: {{tasks: [{', '.join(_TASKS)}]}}\n"
        )
        if bases:
            text += "factors:\n  model.base: [tiny, bad]\n"
        (folder / "news").mkdir()
        (folder / "news" / "content").write_text("news")
        path = folder / "study.yaml"
        path.write_text(text, encoding="utf-8")
        self.study = load_study(path)
        self.plan = compile_plan(self.study)
        self.store = ArtifactStore(folder / "store")
        self.mirror = mirror

    def run(self) -> RunSummary:
        return run_plan(
            self.plan,
            self.store,
            InProcessBackend,
            mirrors=(self.mirror,),
            progress=lambda *_: None,
        )

    def records(self, summary: RunSummary) -> dict[tuple[str, str], Record]:
        _, records = collect(self.study, self.plan, self.store, failures=summary.failed)
        return {(record.variant, record.task): record for record in records if record.is_main}

    def by_task(self, summary: RunSummary) -> dict[str, Record]:
        return {task: record for (_, task), record in self.records(summary).items()}


@pytest.fixture
def bench(tmp_path: Path, tiny_checkpoint: Path, mirror: Path) -> _Bench:
    return _Bench(tmp_path, tiny_checkpoint, mirror)


def _is_classification(texts: Sequence[str]) -> bool:
    """Return whether the texts are those of Banking77: two words longer than the pairs' eight."""
    return any(len(text.split()) == 10 for text in texts)


def _spoiled(spoil: Any) -> Any:
    """Return an `encode` whose vectors of the classification's texts are spoiled."""
    encode = Embedder.encode

    def spoiled(self: Embedder, texts: Sequence[str], **settings: Any) -> np.ndarray:
        vectors = encode(self, texts, **settings)
        return spoil(vectors) if _is_classification(texts) else vectors

    return spoiled


def _with_nan(vectors: np.ndarray) -> np.ndarray:
    vectors[0, 0] = np.nan
    return vectors


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_with_nan, "Banking77Classification: 1 of"),
        (lambda vectors: vectors[:, :-1], "texts of 32 dimensions"),
        (lambda vectors: vectors[:-1], "texts of 32 dimensions"),
    ],
    ids=["nan", "dimension", "rows"],
)
def test_vectors_that_are_none_fail_their_cell_alone(
    bench: _Bench, monkeypatch: pytest.MonkeyPatch, spoil: Any, said: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Embedder, "encode", _spoiled(spoil))
        records = bench.by_task(bench.run())
    assert records["STSBenchmark"].state == "ok"
    failed = records["Banking77Classification"]
    assert (failed.state, failed.value) == ("failed", None)
    assert said in failed.reason
    # The same command mends it, and what was scored is scored no more.
    again = bench.run()
    assert (len(again.done), len(again.reused)) == (1, 2)
    assert {record.state for record in bench.records(again).values()} == {"ok"}


def test_a_full_disk_fails_its_cell_and_loses_nothing(
    bench: _Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, is_full = os.fsync, False

    def encode(self: Embedder, texts: Sequence[str], **settings: Any) -> np.ndarray:
        nonlocal is_full
        is_full = _is_classification(texts)
        return stock(self, texts, **settings)

    def full(descriptor: int) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a file")
        fsync(descriptor)

    stock = Embedder.encode
    with monkeypatch.context() as patch:
        patch.setattr(Embedder, "encode", encode)
        patch.setattr(os, "fsync", full)
        records = bench.by_task(bench.run())
    assert records["STSBenchmark"].state == "ok"
    assert records["Banking77Classification"].state == "failed"
    assert "No space left on device" in records["Banking77Classification"].reason
    cache = bench.store.home / "cache" / "embeddings"
    assert all(path.suffix == ".safetensors" for path in cache.rglob("*") if path.is_file())
    assert {record.state for record in bench.records(bench.run()).values()} == {"ok"}


def test_a_disk_that_takes_no_journal_does_not_end_the_run(
    bench: _Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Journal.append
    (target,) = [
        step.fingerprint
        for step in bench.plan.steps.values()
        if step.config.get("task") == "Banking77Classification"
    ]

    def full(self: Journal, kind: Any, *, step: str, **more: Any) -> None:
        if step == target:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "journal.jsonl")
        append(self, kind, step=step, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", full)
        summary = bench.run()
    assert list(summary.failed) == [target]
    assert summary.failed[target] == "No space left on device: journal.jsonl"
    assert bench.by_task(summary)["STSBenchmark"].state == "ok"


def test_a_base_without_an_end_token_fails_its_variant_alone(
    tmp_path: Path, tiny_checkpoint: Path, mirror: Path
) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(tiny_checkpoint, bad)
    settings = json.loads((bad / "tokenizer_config.json").read_text())
    for name in ("eos_token", "sep_token"):
        settings.pop(name, None)
    (bad / "tokenizer_config.json").write_text(json.dumps(settings))
    (bad / "special_tokens_map.json").unlink(missing_ok=True)
    bench = _Bench(tmp_path, tiny_checkpoint, mirror, bases=f"\n  bad: {{path: {bad}}}")
    summary = bench.run()
    records = bench.records(summary)
    states = {(variant.split("-")[0], task): record.state for (variant, task), record in records.items()}
    assert {state for (base, _), state in states.items() if base == "bad"} == {"failed"}
    assert {state for (base, _), state in states.items() if base != "bad"} == {"ok"}
    (message,) = summary.failed.values()
    assert "eos_token" in message
    assert len(summary.skipped) == len(_TASKS)

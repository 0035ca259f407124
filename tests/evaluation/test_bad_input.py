"""What is wrong with one cell stays with it: the others get their scores and keep them."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.evaluation.foreign import evaluate_model
from harness.execution.journal import Journal
from harness.models.embedder import Embedder
from tests.evaluation.bench import Bench
from tests.evaluation.folders import write_banking, write_readme, write_sts

_TASKS = ("STSBenchmark", "Banking77Classification")


_SUITES = f"  main: {{tasks: [{', '.join(_TASKS)}]}}\n"


@pytest.fixture
def bench(tmp_path: Path, tiny_checkpoint: Path, mirror: Path) -> Bench:
    return Bench(tmp_path, tiny_checkpoint, mirror, suites=_SUITES)


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
    bench: Bench, monkeypatch: pytest.MonkeyPatch, spoil: Any, said: str
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
    assert {record.state for record in bench.records(again)} == {"ok"}


def test_a_task_for_which_memory_does_not_suffice_says_how_much_there_was_and_what_to_turn(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = Embedder.encode

    def greedy(self: Embedder, texts: Sequence[str], **settings: Any) -> np.ndarray:
        if _is_classification(texts):
            raise MemoryError
        return encode(self, texts, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(Embedder, "encode", greedy)
        summary = bench.run()
    (message,) = summary.failed.values()
    assert "GiB of " in message.splitlines()[0]
    assert "resources.shard_documents" in message
    records = bench.by_task(summary)
    assert records["STSBenchmark"].state == "ok"
    assert "GiB of " in records["Banking77Classification"].reason


def test_a_full_disk_fails_its_cell_and_loses_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
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
    left = [path for path in cache.rglob("*") if path.is_file() and path.parent.name != "locks"]
    assert all(path.suffix == ".safetensors" for path in left)
    assert {record.state for record in bench.records(bench.run())} == {"ok"}


def test_a_split_that_the_mirror_lacks_is_missing_in_its_cell_alone(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    mirror = tmp_path / "cut"
    write_sts(mirror)
    write_banking(mirror)
    folder = mirror / "mteb" / "banking77"
    write_readme(folder, {"default": {"train": "train.jsonl"}})
    (folder / "test.jsonl").unlink()
    bench = Bench(tmp_path, tiny_checkpoint, mirror, suites=_SUITES)
    records = bench.by_task(bench.run())
    assert records["STSBenchmark"].state == "ok"
    failed = records["Banking77Classification"]
    assert failed.state == "missing"
    said = "dataset mteb/banking77 has no split test (subset default; there: train)"
    assert f"Banking77Classification: {said}" in failed.reason
    assert "harness prefetch" in failed.reason
    assert failed.reason.endswith("study.yaml --missing")
    write_banking(mirror)
    again = bench.run()
    assert len(again.done) == 1
    assert {record.state for record in bench.records(again)} == {"ok"}


def test_a_task_that_the_installed_mteb_lacks_fails_its_cell_alone(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = sys.modules["mteb.get_tasks"]._TASKS_REGISTRY
    monkeypatch.delitem(registry, "Banking77Classification")
    records = bench.by_task(bench.run())
    assert records["STSBenchmark"].state == "ok"
    assert records["Banking77Classification"].state == "failed"
    assert "has no task Banking77Classification" in records["Banking77Classification"].reason
    (model,) = [
        bench.store.folder("base", name) for name, one in bench.plan.steps.items() if one.stage == "base"
    ]
    tasks = ["Banking77Classification", "STSBenchmark"]
    failed, scored = evaluate_model(str(model), tasks, mirrors=[bench.mirror], output=tmp_path / "out")
    assert (failed.task, failed.state, scored.state) == ("Banking77Classification", "failed", "ok")
    assert "has no task Banking77Classification" in failed.reason


def test_a_disk_that_takes_no_journal_does_not_end_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
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
    bench = Bench(
        tmp_path,
        tiny_checkpoint,
        mirror,
        suites=_SUITES,
        more="factors:\n  model.base: [tiny, bad]\n",
        bases=f"\n  bad: {{path: {bad}}}",
    )
    summary = bench.run()
    records = bench.records(summary)
    states = {(record.variant.split("-")[0], record.task): record.state for record in records}
    assert {state for (base, _), state in states.items() if base == "bad"} == {"failed"}
    assert {state for (base, _), state in states.items() if base != "bad"} == {"ok"}
    (message,) = summary.failed.values()
    assert "eos_token" in message
    assert len(summary.skipped) == len(_TASKS)

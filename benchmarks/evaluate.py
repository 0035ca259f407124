"""Evaluation: tasks of every kind against plain `mteb.evaluate`, and search against the bare product.

Run as `make bench`. Both sides are whole processes, from start to exit, with the same model folder
(SmolLM2-135M cut to 6 layers), the same tasks from the mirror and empty caches of their own; the peer
gives a `SentenceTransformer` to `mteb.evaluate`, without the chat template and the low precision that
would slow it unawares. Main scores must agree. The search is over 1,000,000 memory-mapped vectors; its
peer reads the same file and multiplies, nothing more.

The real data is expected in `$HARNESS_TEST_DATA/mirror`; without it only the search is measured.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Row, compare_rates, describe, report
from benchmarks.memory import peak_of
from benchmarks.train import make_base
from harness.evaluation.top_k import TopK
from harness.study.benchmarks import Limits
from tests import fetch
from tests.conftest import REPOSITORY

TASKS = {
    "SciFact": Limits(),
    "Banking77Classification": Limits(),
    "STSBenchmark": Limits(),
    "SIB200Classification": Limits(subsets=("eng_Latn",), splits=("test",)),
    "SIB200ClusteringS2S": Limits(subsets=("eng_Latn",), splits=("test",)),
    "XNLI": Limits(subsets=("en",), splits=("test",)),
    "SummEval": Limits(),
    "MBPPRetrieval": Limits(),
}
TOLERANCE = 1e-4
NUM_DOCUMENTS, WIDTH, NUM_QUERIES, DEPTH = 1_000_000, 576, 1_000, 1_000
_BLOCK = 8192


def main() -> None:
    """Measure and report, or do the work of one process."""
    if len(sys.argv) > 1:
        side, folder, mirror, *tasks = sys.argv[1:]
        run = {"ours": run_ours, "peer": run_peer}[side]
        found = run(Path(folder), Path(mirror), {task: TASKS[task] for task in tasks or TASKS})
        print(json.dumps(found))  # noqa: T201
        return
    fetch.main()
    rows: list[Row] = []
    data = Path(os.environ.get("HARNESS_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
    if (data / "mirror").is_dir():
        rows.append(_compare_tasks(data / "mirror"))
    else:
        print(f"{data}: no mirror there, so no task is run")  # noqa: T201
    with tempfile.TemporaryDirectory() as scratch:
        rows += _compare_search(Path(scratch))
    report("evaluate", rows)


def run_ours(folder: Path, mirror: Path, tasks: Mapping[str, Limits]) -> dict[str, tuple[float, float]]:
    """Return each task's main score and seconds, as a study's step gets them."""
    from harness.evaluation.embeddings import EmbeddingCache
    from harness.evaluation.encoder import StudyEncoder
    from harness.evaluation.mteb_runner import evaluate_mteb
    from harness.models.embedder import Embedder
    from harness.study.recipe import PromptConfig

    found = {}
    with tempfile.TemporaryDirectory() as output:
        encoder = StudyEncoder(
            Embedder.load(folder, device="cpu"),
            prompts=PromptConfig(),
            name="ours",
            revision="1",
            cache=EmbeddingCache(Path(output) / "cache"),
        )
        for task, limits in tasks.items():
            began = time.perf_counter()
            scores = evaluate_mteb(encoder, task, output=Path(output), mirrors=[mirror], limits=limits)
            value = statistics.fmean(score.value or 0.0 for score in scores if score.is_main)
            found[task] = (value, time.perf_counter() - began)
            print(task, *found[task], file=sys.stderr)  # noqa: T201
    return found


def run_peer(folder: Path, mirror: Path, tasks: Mapping[str, Limits]) -> dict[str, tuple[float, float]]:
    """Return each task's main score and seconds, as plain mteb gets them."""
    import mteb
    from sentence_transformers import SentenceTransformer

    from harness.evaluation.catalogue import new_task
    from harness.evaluation.mirror import use_mirrors

    model = SentenceTransformer(str(folder), device="cpu")
    found = {}
    with use_mirrors([mirror]):
        for name, limits in tasks.items():
            began = time.perf_counter()
            result = mteb.evaluate(
                model, new_task(name, limits), cache=None, co2_tracker=False, show_progress_bar=False
            )
            value = result.task_results[0].get_score()
            found[name] = (value, time.perf_counter() - began)
            print(name, *found[name], file=sys.stderr)  # noqa: T201
    return found


def _compare_tasks(mirror: Path) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        make_base(Path(folder))
        seconds, found = {}, {}
        for side in ("ours", "peer"):
            began = time.perf_counter()
            found[side] = _run(side, folder, str(mirror))
            seconds[side] = time.perf_counter() - began
    worst = 0.0
    for task, (mine, taken) in found["ours"].items():
        theirs, needed = found["peer"][task]
        worst = max(worst, abs(mine - theirs))
        line = f"{task}: {mine:.6f} and {theirs:.6f}, {taken:.1f} and {needed:.1f} s"
        print(line, file=sys.stderr)  # noqa: T201
    if worst > TOLERANCE:
        raise AssertionError(f"the scores differ by up to {worst:.1e}")
    return _row(
        f"{len(TASKS)} tasks from start to exit, 6 layers; scores equal to {worst:.0e}",
        unit="s",
        ours=seconds["ours"],
        peer=seconds["peer"],
        is_rate=True,
    )


def _run(*arguments: str) -> dict[str, tuple[float, float]]:
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.evaluate", *arguments],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HF_HOME": cache, "MTEB_CACHE": cache},
        )
    found: dict[str, tuple[float, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _compare_search(folder: Path) -> list[Row]:
    corpus = _make_corpus(folder / "corpus.npy")
    generator = np.random.default_rng(1)
    queries = generator.standard_normal((NUM_QUERIES, WIDTH), dtype=np.float32)
    places = generator.permutation(NUM_DOCUMENTS)

    def ours() -> object:
        best = TopK(queries, k=DEPTH, places=places)
        best.add(corpus)
        return list(best.best())

    size = f"{NUM_DOCUMENTS} x {WIDTH}, {NUM_QUERIES} queries, best {DEPTH}"
    speed = compare_rates(
        f"search of {size}, against the bare product",
        unit="queries/s",
        amount=NUM_QUERIES,
        ours=ours,
        peer=_bare_product(queries, corpus),
        repeats=3,
        flops=2.0 * NUM_DOCUMENTS * WIDTH * NUM_QUERIES,
    )
    # Pages of the file that are mapped count as resident; all of them are by now.
    peak = peak_of(ours)
    matrix = 4.0 * NUM_QUERIES * NUM_DOCUMENTS / (1 << 30)
    name = f"search of {size}, peak beside the memory-mapped corpus, against a matrix of all scores"
    return [speed, _row(name, unit="GiB", ours=peak, peer=matrix)]


def _make_corpus(path: Path) -> np.ndarray:
    """Write random unit vectors to a file and map it."""
    generator = np.random.default_rng(0)
    written = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(NUM_DOCUMENTS, WIDTH))
    for first in range(0, NUM_DOCUMENTS, 50_000):
        part = generator.standard_normal((50_000, WIDTH), dtype=np.float32)
        written[first : first + 50_000] = part / np.linalg.norm(part, axis=1, keepdims=True)
    del written
    mapped: np.ndarray = np.load(path, mmap_mode="r")
    return mapped


def _bare_product(queries: np.ndarray, corpus: np.ndarray) -> Callable[[], None]:
    """Return a function that reads the corpus and multiplies it with the queries."""
    block, scores = torch.zeros(_BLOCK, WIDTH), torch.empty(NUM_QUERIES, _BLOCK)

    def multiply() -> None:
        for first in range(0, len(corpus), _BLOCK):
            part = corpus[first : first + _BLOCK]
            block.numpy()[: len(part)] = part
            torch.mm(torch.from_numpy(queries), block.T, out=scores)

    return multiply


def _row(name: str, *, unit: str, ours: float, peer: float, is_rate: bool = False) -> Row:
    return Row(
        name=name,
        unit=unit,
        ours=round(ours, 3),
        peer=round(peer, 3),
        ratio=round(peer / ours if is_rate else ours / peer, 3),
        peak_share=None,
        repeats=1,
        machine=describe(),
    )


if __name__ == "__main__":
    main()

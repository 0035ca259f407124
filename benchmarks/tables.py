"""Tables: result files into records, and records into a table, each against the plain way to do it.

Run as `make bench`. The files are made up in mteb's layout, with as many metrics as real ones; their
peer is mteb's own loader of a results folder. The table is 1,000 variants on 56 tasks with 3 seeds;
its peer is a loop over the records that fills a dictionary cell by cell, with the same means and the
same rule for what is incomplete, and whole processes, from start to exit. A study of that size has its
own table in `study_tables`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measure import Row, compare_rates, describe, report
from benchmarks.study_tables import measure_study
from harness.records.bulk import TABLE_COLUMNS, read_frame, write_bulk
from harness.records.facts import find_suite, published_metric
from harness.records.importing import read_mteb_folder, store_records
from harness.records.schema import Record
from harness.records.store import write_records
from harness.tables.suite_table import build_suite_table
from tests.records.result_files import REVISION, cells_of, made_up, today, write_file

if TYPE_CHECKING:
    import pandas as pd

SUITE = "MTEB(eng, v1)"
NUM_MODELS = 20
NUM_VARIANTS = 1000
NUM_SEEDS = 3


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [_measure_import(Path(folder) / "lab")]
        records = Path(folder) / "records"
        write_generated(records)
        frame = read_frame(records, columns=TABLE_COLUMNS)
        suite = find_suite(SUITE)
        size = f"{NUM_VARIANTS} variants, {len(suite.tasks)} tasks, {NUM_SEEDS} seeds"
        rows.append(
            compare_rates(
                f"table of {size}",
                unit="records/s",
                amount=len(frame),
                ours=lambda: build_suite_table(frame, suite),
                peer=lambda: table_by_loops(frame),
                repeats=3,
            )
        )
        rows += _measure_processes(
            f"`harness tables` of {size}",
            ["tables", str(records), "--suite", SUITE, "--format", "csv"],
            "from pathlib import Path\nfrom harness.records.bulk import read_frame\n"
            "from benchmarks.tables import table_by_loops\n"
            f"table_by_loops(read_frame(Path({str(records)!r})))\n",
        )
        rows += measure_study(Path(folder) / "study", _measure_processes)
        report("tables", rows)


def write_generated(folder: Path) -> None:
    """Write the records of made-up variants with several seeds, one number a task."""
    generator = np.random.default_rng(0)
    suite = find_suite(SUITE)
    values = generator.random((NUM_VARIANTS, len(suite.tasks), NUM_SEEDS))
    records = [
        Record(
            variant=f"variant-{variant:04d}",
            revision="",
            seed=seed,
            suite="",
            task=task.name,
            task_type=task.task_type,
            split=task.splits[0],
            subset=task.subsets[0],
            metric=published_metric(task),
            value=float(values[variant, place, seed]),
        )
        for variant in range(NUM_VARIANTS)
        for place, task in enumerate(suite.tasks)
        for seed in range(NUM_SEEDS)
    ]
    folder.mkdir(parents=True)
    write_records(folder / "records.jsonl", records)
    write_bulk(folder, records)


def table_by_loops(frame: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Return each variant's mean over each type and over all tasks, cell by cell."""
    suite = find_suite(SUITE)
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in frame.itertuples():
        cells[str(row.variant), str(row.task)].append(float(str(row.value)))
    table: dict[str, dict[str, float | None]] = {}
    for variant in sorted({variant for variant, _ in cells}):
        score: dict[str, float | None] = {}
        for task in suite.tasks:
            own = cells.get((variant, task.name), [])
            score[task.name] = statistics.fmean(own) if len(own) == NUM_SEEDS else None
        line: dict[str, float | None] = {}
        for name in (*suite.types, "Average"):
            own_tasks = [task for task in suite.tasks if name in (task.task_type, "Average")]
            found = [score[task.name] for task in own_tasks]
            kept = [value for value in found if value is not None]
            line[name] = statistics.fmean(kept) if len(kept) == len(found) else None
        table[variant] = line
    return table


def _measure_import(folder: Path) -> Row:
    from mteb.cache import ResultCache

    num_files = 0
    for model in range(NUM_MODELS):
        for task, (split, subset) in cells_of(SUITE).items():
            content = today(task, split, subset, made_up(task))
            entry = content["scores"][split][0]
            entry |= {f"nauc_ndcg_at_{place}_diff1": place / 200 for place in range(140)}
            write_file(folder / "results" / f"org__model-{model}" / REVISION, task, content)
            num_files += 1
    cache = ResultCache(folder)

    def ours() -> None:
        records, count = read_mteb_folder(folder / "results")
        store_records(records, folder / "imported", num_files=count, is_replacing=True)

    return compare_rates(
        f"{num_files} result files into records",
        unit="files/s",
        amount=num_files,
        ours=ours,
        peer=lambda: cache.load_results(require_model_meta=False).to_dataframe(),
        repeats=3,
    )


def _measure_processes(name: str, command: Sequence[str], plain: str) -> list[Row]:
    """Return time and peak memory of our command and the peer's code, each from start to exit."""
    ours = (
        f"sys.argv = {['harness', *command]!r}\n"
        "from harness.cli.main import app\napp(standalone_mode=False)\n"
    )
    pairs = [(_run(ours), _run(plain)) for _ in range(3)]
    rows = []
    for place, (unit, title) in enumerate((("s", "time"), ("MB", "peak memory"))):
        mine = statistics.median(first[place] for first, _ in pairs)
        peer = statistics.median(second[place] for _, second in pairs)
        rows.append(
            Row(
                name=f"{name}, {title}",
                unit=unit,
                ours=round(mine, 3),
                peer=round(peer, 3),
                ratio=round(peer / mine, 3),
                peak_share=None,
                repeats=len(pairs),
                machine=describe(),
            )
        )
    return rows


def _run(code: str) -> tuple[float, float]:
    """Return the seconds and the peak memory in MB of Python code in a process of its own."""
    # The process asks for its own peak: what its parent is told counts the parent's pages too.
    peak = "print(next(one for one in open('/proc/self/status') if one.startswith('VmHWM')))"
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}{peak}"], check=True, capture_output=True, text=True
    )
    seconds = time.perf_counter() - began
    return seconds, int(done.stdout.split()[-2]) / 1024


if __name__ == "__main__":
    main()

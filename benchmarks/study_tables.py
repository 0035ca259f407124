"""A study's tables: 1,000 variants on 56 tasks with 3 seeds, made up, from memory and as processes.

The peer is what one would write with pandas, scipy and statsmodels: a frame of the same records, means
and deviations, paired t tests on whole arrays, and Holm's correction. It has the same numbers, without
states, reasons, footnotes, and the check that rows were measured alike. The processes start with the
files and end with CSV.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.measure import Row, compare_rates
from harness.records.facts import find_suite
from harness.records.schema import Record
from harness.records.store import read_records, write_records
from harness.records.summary import Member, RowSummary, StudySummary, SuiteSummary, write_summary
from harness.tables import build_table, shape

if TYPE_CHECKING:
    import pandas as pd

FACTORS = {name: tuple(f"{name}{level}" for level in range(10)) for name in ("a", "b", "c")}
SEEDS = (1, 2, 3)


def measure_study(folder: Path, processes: Callable[[str, Sequence[str], str], list[Row]]) -> list[Row]:
    """Return the rows on a generated study.

    Args:
        folder: Where it is written.
        processes: Times, under a name, our command and the peer's code as processes.
    """
    import pandas as pd

    summary = write_study(folder)
    records = read_records(folder / "records.jsonl")
    frame = pd.read_json(folder / "records.jsonl", lines=True)
    num_tasks = len(summary.suites[0].tasks)
    size = f"a study of {len(summary.rows)} variants, {num_tasks} tasks, {len(SEEDS)} seeds"
    rows = [
        compare_rates(
            f"table of {size}, with tests",
            unit="records/s",
            amount=len(records),
            ours=lambda: build_table(summary, records),
            peer=lambda: table_by_pandas(frame, summary.baseline or ""),
            repeats=3,
        ),
        compare_rates(
            f"types by variants of {size}",
            unit="records/s",
            amount=len(records),
            ours=lambda: shape(summary, records, rows="variant", columns="type"),
            peer=lambda: types_by_pandas(frame),
            repeats=3,
        ),
    ]
    plain = (
        "import pandas as pd\nfrom benchmarks.study_tables import table_by_pandas\n"
        f"frame = pd.read_json({str(folder / 'records.jsonl')!r}, lines=True)\n"
        f"table_by_pandas(frame, {summary.baseline!r}).to_csv(sys.stdout)\n"
    )
    return rows + processes(f"`harness tables` of {size}", ["tables", str(folder), "-f", "csv"], plain)


def write_study(folder: Path) -> StudySummary:
    """Write the summary and the records of a full grid with random scores; return the summary."""
    tasks = find_suite("MTEB(eng, v1)").tasks
    rows = [
        RowSummary(
            label=", ".join(levels),
            levels=dict(zip(FACTORS, levels, strict=True)),
            members=tuple(
                Member(slug=f"{'-'.join(levels)}-{seed}", revision=f"{number:03d}{seed}" * 16, seed=seed)
                for seed in SEEDS
            ),
        )
        for number, levels in enumerate(itertools.product(*FACTORS.values()))
    ]
    values = np.random.default_rng(0).random((len(rows), len(SEEDS), len(tasks)))
    records = [
        Record(
            variant=member.slug,
            revision=member.revision,
            seed=member.seed,
            suite="english",
            task=task.name,
            task_type=task.task_type,
            split=task.splits[0],
            subset=task.subsets[0],
            languages=("eng-Latn",),
            metric=task.metric,
            value=float(values[place, number, index]),
            num_queries=1000,
            prompt_hash="0123456789abcdef",
            dataset_revision="f" * 40,
            evaluator="mteb 2.26.24",
            versions={"mteb": "2.26.24", "torch": "2.13.0", "transformers": "5.23.1"},
            wall_seconds=1.5,
            tokens=1000,
            source=f"{member.slug}/{task.name}.json",
        )
        for place, row in enumerate(rows)
        for number, member in enumerate(row.members)
        for index, task in enumerate(tasks)
    ]
    summary = StudySummary(
        name="generated",
        question="",
        factors=FACTORS,
        baseline=rows[0].label,
        rows=tuple(rows),
        suites=(
            SuiteSummary(name="english", evaluator="mteb", tasks=tuple(task.name for task in tasks)),
        ),
    )
    folder.mkdir(parents=True)
    write_summary(summary, folder / "study.json")
    write_records(folder / "records.jsonl", records)
    return summary


def table_by_pandas(frame: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return means, deviations, differences, their intervals and corrected p, column by column."""
    import pandas as pd
    from scipy import stats
    from statsmodels.stats.multitest import multipletests

    row = frame["variant"].str.rsplit("-", n=1).str[0].str.replace("-", ", ")
    wide = frame.assign(row=row).pivot(index="row", columns=["task", "seed"], values="value")
    tasks = wide.columns.get_level_values(0).unique()
    values = wide.to_numpy().reshape(len(wide), len(tasks), len(SEEDS))
    values = np.concatenate([values, values.mean(axis=1, keepdims=True)], axis=1)
    base = values[list(wide.index).index(baseline)]
    tested = stats.ttest_rel(values, np.broadcast_to(base, values.shape), axis=2)
    interval = tested.confidence_interval(0.95)
    known = ~np.isnan(tested.pvalue)
    corrected = np.full(tested.pvalue.shape, np.nan)
    corrected[known] = multipletests(tested.pvalue[known], method="holm")[1]
    parts: dict[str, Any] = {
        "": values.mean(axis=2),
        ":sd": values.std(axis=2, ddof=1),
        ":delta": (values - base).mean(axis=2),
        ":low": interval.low,
        ":high": interval.high,
        ":p": corrected,
    }
    names = [*tasks, "mean"]
    columns = {
        f"{name}{part}": found[:, place]
        for place, name in enumerate(names)
        for part, found in parts.items()
    }
    return pd.DataFrame(columns, index=wide.index)


def types_by_pandas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return each row's mean over each type and over all tasks, with the deviation over seeds."""
    import pandas as pd

    row = frame["variant"].str.rsplit("-", n=1).str[0]
    by_seed = frame.assign(row=row).groupby(["row", "seed", "task_type"])["value"].mean()
    whole = frame.assign(row=row, task_type="all").groupby(["row", "seed", "task_type"])["value"].mean()
    found = pd.concat([by_seed, whole]).groupby(["row", "task_type"]).agg(["mean", "std"])
    return found.unstack()

"""What every model and revision scored on every task of a suite.

Owns the arithmetic from the long frame of records to one array of rows by tasks: over a task's splits
and subsets, over an aggregate's parts, over seeds. The rule: a number is there only if all that it is a
mean over is there, and no row's number depends on which other rows there are. Means over tasks are left
to `suite_table`, the reasons for gaps to `suite_gaps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.tables.suite_cells import Wanted

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowKey:
    """What a line of the table is about."""

    model: str
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteScores:
    """Scores of a suite before any mean over tasks."""

    wanted: Wanted
    rows: tuple[RowKey, ...]
    values: Floats
    """Rows by tasks, in the evaluator's unit; NaN where not all is there."""
    frame: pd.DataFrame
    """The records of the suite's tasks and their parts, with the columns `row` (its index), `cell` (the
    wanted cell's index that a record may stand for, else -1) and `rank` (0 for the preferred name)."""
    folders: tuple[str, ...]
    """For each row the folder of one of its files; empty where records name no file."""
    part_values: dict[int, Floats]
    """Index of an aggregate -> rows by parts, like `values`."""


def score_suite(frame: pd.DataFrame, wanted: Wanted) -> SuiteScores:
    """Return the scores of every model and revision in `frame`.

    Args:
        frame: Records as `harness.records.bulk.read_frame` gives them.
        wanted: What the suite asks for.

    Returns:
        One row a model and revision, in their alphabetical order. Records with seeds are of trained
        variants: their row is the variant, and its values are means over its seeds.
    """
    import pandas as pd

    tasks = pd.Index(sorted({cell.task for cell in wanted.cells}))
    frame = frame.assign(shown=_shown_revisions(frame))
    # All the models count, also those of which nothing in the suite was measured.
    frame["row"] = frame.groupby(["variant", "shown"], sort=True).ngroup()
    keys = frame[["row", "variant", "shown"]].drop_duplicates("row").sort_values("row")
    rows = tuple(
        RowKey(model=model, revision=revision)
        for model, revision in zip(keys["variant"], keys["shown"], strict=True)
    )
    kept = frame.loc[frame["task"].isin(tasks)].reset_index(drop=True)
    kept = kept.merge(_names(wanted), on=["task", "split", "subset", "metric"], how="left")
    kept["cell"] = kept["cell"].fillna(-1).astype("int64")
    seeds = kept["seed"].astype("Float64").fillna(-1).astype("float64")
    seed_codes, seed_names = pd.factorize(seeds, sort=True)
    shape = (len(rows), max(1, len(seed_names)), len(wanted.cells))
    cells = _cells(kept, seed_codes, shape)
    has_seed = np.zeros(shape[:2], dtype=bool)
    has_seed[kept["row"].to_numpy(), seed_codes] = True
    values = np.full((len(rows), len(wanted.tasks)), np.nan)
    part_values: dict[int, Floats] = {}
    for index, task in enumerate(wanted.tasks):
        own = _mean([cells[:, :, place] for place in task.cells])
        parts = [_mean([cells[:, :, place] for place in part]) for part in task.parts]
        by_seed = aggregate(own, parts) if parts else own
        values[:, index] = _mean_over_seeds(by_seed, has_seed)
        if parts:
            seeds_mean = [_mean_over_seeds(part, has_seed) for part in parts]
            part_values[index] = np.stack(seeds_mean, axis=1)
    return SuiteScores(
        wanted=wanted,
        rows=rows,
        values=values,
        frame=kept,
        folders=_folders(frame, len(rows)),
        part_values=part_values,
    )


def aggregate(own: Floats, parts: Sequence[Floats]) -> Floats:
    """Return the value of an aggregate from what its own file says and from its parts.

    All parts there: their mean, for they say more than an aggregate that somebody made of them. None of
    them: the aggregate itself. Some of them: nothing, for the aggregate may lack the same ones.
    """
    present = np.sum([~np.isnan(part) for part in parts], axis=0)
    return np.where(present == len(parts), _mean(parts), np.where(present == 0, own, np.nan))


def _shown_revisions(frame: pd.DataFrame) -> pd.Series[str]:
    """Return the revision that a record's row is known by: none where each seed has its own."""
    seeded = frame["seed"].notna()
    revisions = frame["revision"]
    if not seeded.any():
        return revisions
    counts = revisions[seeded].groupby(frame.loc[seeded, "variant"]).transform("nunique")
    several = counts.reindex(frame.index, fill_value=1) > 1
    return revisions.mask(several, "")


def _folders(frame: pd.DataFrame, num_rows: int) -> tuple[str, ...]:
    sources = frame.loc[frame["source"] != "", ["row", "source"]].drop_duplicates("row")
    folders = [""] * num_rows
    for row, source in zip(sources["row"], sources["source"], strict=True):
        folders[int(row)] = str(source).rpartition("/")[0]
    return tuple(folders)


def _names(wanted: Wanted) -> pd.DataFrame:
    """Return one line for each name under which a cell may be found."""
    import pandas as pd

    lines = [
        (cell.task, split, cell.subset, metric, index, rank)
        for index, cell in enumerate(wanted.cells)
        for rank, (split, metric) in enumerate(
            (split, metric) for split in cell.splits for metric in cell.metrics
        )
    ]
    columns = ["task", "split", "subset", "metric", "cell", "rank"]
    # A suite may ask for a part on its own too: the same records then serve both cells.
    return pd.DataFrame(lines, columns=columns)


def _cells(frame: pd.DataFrame, seeds: npt.NDArray[np.int64], shape: tuple[int, int, int]) -> Floats:
    """Return the value of each row, seed and cell, from the preferred of the names that are there."""
    usable = ((frame["cell"] >= 0) & (frame["state"] == "ok")).to_numpy()
    order = np.argsort(-frame["rank"].to_numpy(dtype=float)[usable], kind="stable")
    cells = np.full(shape, np.nan)
    places = (
        frame["row"].to_numpy()[usable][order],
        seeds[usable][order],
        frame["cell"].to_numpy()[usable][order],
    )
    # Where an index comes twice the last value stays: the one of lowest rank.
    cells[places] = frame["value"].to_numpy(dtype=float)[usable][order]
    return cells


def _mean_over_seeds(values: Floats, has_seed: npt.NDArray[np.bool_]) -> Floats:
    # A seed that the row does not have adds nothing; one that it has and that lacks a value spoils it.
    filled = np.where(has_seed, values, 0.0)
    counts = has_seed.sum(axis=1)
    total = _sum([filled[:, seed] for seed in range(filled.shape[1])])
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)


def _mean(arrays: Sequence[Floats]) -> Floats:
    return _sum(arrays) / len(arrays)


def _sum(arrays: Sequence[Floats]) -> Floats:
    # One after the other: a sum along an axis may be split differently for other numbers of rows.
    total = arrays[0].copy()
    for array in arrays[1:]:
        total += array
    return total

"""Which test each difference of a table gets.

Owns the choice by what was drawn, and the one family over which it is corrected. The rule: a difference
is tested on the levels that were drawn, seeds and queries:

- several shared seeds and per-query scores: over both, each as a level of its own;
- one seed: over queries, which speaks of the models at hand only;
- several seeds without per-query scores: over seeds only (repeated experiments of classification and
  clustering are not taken for queries: they say nothing of other test texts);
- a suite's mean: over seeds, or over its tasks where one seed is shared and there are enough tasks.

References are not tested: they are no question of the study. The arithmetic is left to `levels`, and is
done for as many rows at once as memory allows; the marks are left to `significance`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.records.summary import RowSummary
from harness.tables.differences import Difference
from harness.tables.families import correct
from harness.tables.levels import Inference, each_over_both, each_over_seeds, over_queries
from harness.tables.over_tasks import MIN_TASKS
from harness.tables.queries import QueryScores
from harness.tables.table import Column

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

_Lines = Mapping[int, Difference]
"""Row -> its difference in one column."""
_BATCH = 2**22
"""Numbers that are tested at once."""


def infer(
    columns: Sequence[Column],
    differences: Sequence[Sequence[Difference | None]],
    *,
    rows: Sequence[RowSummary],
    baseline: int | None,
    queries: QueryScores | None,
) -> dict[tuple[int, int], Inference]:
    """Return by row and column the inference of each variant's differences from the baseline.

    Args:
        columns: Of the table.
        differences: A line a row, one difference a column; None where there is none.
        rows: The rows.
        baseline: Which of them the differences are from; None for a table without.
        queries: Per-query scores; None where there are none.
    """
    tested = [place for place, row in enumerate(rows) if row.role == "variant" and place != baseline]
    by_column = {
        index: {place: one for place in tested if (one := differences[place][index]) is not None}
        for index, column in enumerate(columns)
        if column.kind != "delta"
    }
    family = sum(len(lines) for lines in by_column.values())
    found: dict[tuple[int, int], Inference] = {}
    for index, lines in by_column.items():
        column = columns[index]
        over: dict[int, Inference] = {}
        if column.kind == "task" and queries is not None and baseline is not None:
            pairs = _paired(rows, lines, rows[baseline], column, queries)
            over |= _over_queries(pairs, family=family)
        over |= _over_seeds({place: one for place, one in lines.items() if place not in over})
        if column.kind == "mean":
            tasks = [
                place
                for place, one in enumerate(columns)
                if one.kind == "task" and one.suite == column.suite
            ]
            by_task = {
                place: [differences[place][task] for task in tasks]
                for place in lines
                if place not in over
            }
            over |= _over_tasks(by_task, family=family)
        found |= {(place, index): one for place, one in over.items()}
    places = list(found)
    return dict(zip(places, correct([found[place] for place in places]), strict=True))


def _over_seeds(lines: _Lines) -> dict[int, Inference]:
    """Test over seeds the rows that share several with the baseline."""
    arrays = {place: one.by_seed for place, one in lines.items() if len(one.by_seed) > 1}
    return _by_length(arrays, each_over_seeds)


def _over_tasks(
    lines: Mapping[int, Sequence[Difference | None]], *, family: int
) -> dict[int, Inference]:
    """Test over a suite's tasks, where there are enough and a row has a difference in all of them."""
    arrays = {}
    for place, line in lines.items():
        values = [one.delta.value for one in line if one is not None]
        if len(values) >= max(MIN_TASKS, len(line)) and all(map(math.isfinite, values)):
            arrays[place] = values
    return _by_length(arrays, lambda rows: over_queries(rows, level="tasks", family=family))


def _by_length(
    arrays: Mapping[int, Sequence[float]], test: Callable[[FloatArray], Sequence[Inference]]
) -> dict[int, Inference]:
    """Return what `test` says of each array; those of one length are tested together."""
    import numpy as np

    found: dict[int, Inference] = {}
    for length in dict.fromkeys(map(len, arrays.values())):
        places = [place for place, values in arrays.items() if len(values) == length]
        tested = test(np.array([arrays[place] for place in places]))
        found |= dict(zip(places, tested, strict=True))
    return found


def _over_queries(pairs: Iterable[tuple[int, FloatArray]], *, family: int) -> dict[int, Inference]:
    """Test over queries, and over seeds too where several are shared, in batches of one shape."""
    import numpy as np

    found: dict[int, Inference] = {}
    waiting: dict[tuple[int, ...], list[tuple[int, FloatArray]]] = {}

    def test(batch: Sequence[tuple[int, FloatArray]]) -> None:
        places, arrays = zip(*batch, strict=True)
        differences = np.stack(arrays)
        if differences.shape[1] == 1:
            tested = over_queries(differences[:, 0], family=family)
        else:
            tested = each_over_both(differences)
        found.update(zip(places, tested, strict=True))

    for place, array in pairs:
        batch = waiting.setdefault(array.shape, [])
        batch.append((place, array))
        if len(batch) * array.size >= _BATCH:
            test(waiting.pop(array.shape))
    for batch in waiting.values():
        test(batch)
    return found


def _paired(
    rows: Sequence[RowSummary], lines: _Lines, base: RowSummary, column: Column, queries: QueryScores
) -> Iterator[tuple[int, FloatArray]]:
    """Give rows with their differences by query [shared seeds, n], where both sides have them all."""
    for place in lines:
        ours = {member.seed: member for member in rows[place].members}
        theirs = {member.seed: member for member in base.members}
        seeds = [seed for seed in ours if seed in theirs and seed is not None]
        first, second = (
            queries.matrix(
                [side[seed] for seed in seeds],
                suite=column.suite,
                task=column.task,
                metric=column.metric,
            )
            for side in (ours, theirs)
        )
        if first is None or second is None or first[0].unit != "query":
            continue
        # A single query can be tested over one seed alone.
        if first[0].has_keys_of(second[0]) and (len(seeds) == 1 or first[1].shape[1] > 1):
            yield place, first[1] - second[1]

"""What must hold between metrics, whatever the model.

Owns the identities that a search evaluation is held to: recall cannot fall with depth, the first place
is a hit for precision, success and reciprocal rank alike, and a reported score is the mean over its
queries. The rule: a number that breaks one of them is refused, since it was not computed from the
rankings that it is said to come from.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from harness.errors import ProbeError

TOLERANCE = 1.01e-5
"""mteb and BEIR round means to five digits, and a mean of rounded means may be one digit off."""

_CURE = "the evaluator's version or the task's data is at fault: no score is taken from it"


def check_query(scores: Mapping[str, float], *, task: str, query: str) -> None:
    """Refuse measures of one query that contradict each other.

    Args:
        scores: trec_eval's measures, such as `recall_10`, `P_1`, `success_1`.
        task: Name of the task, for the message.
        query: Identifier of the query, for the message.

    Raises:
        ProbeError: If recall falls with depth, or P@1 is not success@1.
    """
    recalls = sorted(
        (int(name.removeprefix("recall_")), value)
        for name, value in scores.items()
        if name.startswith("recall_")
    )
    for (low, shallow), (high, deep) in itertools.pairwise(recalls):
        if deep < shallow - 1e-9:
            raise ProbeError(
                f"{task}: query {query!r} has recall@{low} {shallow} but recall@{high} {deep}",
                cure=_CURE,
            )
    if "P_1" in scores and "success_1" in scores and scores["P_1"] != scores["success_1"]:
        raise ProbeError(
            f"{task}: query {query!r} has P@1 {scores['P_1']} but success@1 {scores['success_1']}",
            cure=_CURE,
        )


def check_first_place(metrics: Mapping[str, float], *, task: str) -> None:
    """Refuse a result whose precision and reciprocal rank disagree on the first place.

    Args:
        metrics: mteb's means, such as `precision_at_1` and `mrr_at_1`; what is not there is not checked.
        task: Name of the task, for the message.

    Raises:
        ProbeError: If P@1 is not MRR@1.
    """
    precision, rank = metrics.get("precision_at_1"), metrics.get("mrr_at_1")
    if precision is not None and rank is not None and abs(precision - rank) > TOLERANCE:
        raise ProbeError(f"{task}: P@1 is {precision} but MRR@1 is {rank}", cure=_CURE)


def check_reported(mean: float, reported: float, *, task: str, metric: str) -> None:
    """Refuse a reported score that is not the mean over its queries.

    Raises:
        ProbeError: If the two differ by more than rounding to five digits.
    """
    if not abs(mean - reported) <= TOLERANCE:
        raise ProbeError(
            f"{task}: {metric} is reported as {reported}, but its queries have the mean {mean}",
            cure=_CURE,
        )

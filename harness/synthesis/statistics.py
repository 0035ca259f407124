"""What a run brought, in numbers: kinds, languages, lengths and drops.

Owns the counting. The rule: every draw is counted once, and the parts add up to what was asked: kept and
dropped draws to all draws, reasons to all drops, in each kind and over all of them.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable
from typing import Any

from harness.errors import DataError
from harness.synthesis.answers import REASONS
from harness.synthesis.generate import Result
from harness.synthesis.identify import identifiable
from harness.synthesis.kinds import KINDS
from harness.synthesis.languages import languages
from harness.synthesis.load import Specification

_ROLES = ("query", "positive", "negative")


def count(specification: Specification, result: Result) -> dict[str, Any]:
    """Return the statistics of a run as plain values, ready for JSON.

    Raises:
        DataError: If the parts do not add up, which would be a bug of ours.
    """
    kept, drops = result.kept, result.drops
    counted = {
        "draws": len(kept) + len(drops),
        "kept": len(kept),
        "dropped": len(drops),
        "reasons": _reasons(drop.refused.reason for drop in drops),
        "kinds": {kind: _kind(kind, specification, result) for kind in specification.kinds},
        "languages": _languages(specification, result),
        "language_not_judged": sum(
            one.draw.language not in identifiable() or (one.draw.target or "en") not in identifiable()
            for one in kept
        ),
        "tasks": {kind: dict(counts) for kind, counts in result.tasks.items()},
        "unique_instructions": len({one.task for one in kept if one.task}),
    }
    _check(counted, size=specification.document.size)
    return counted


def _kind(kind: str, specification: Specification, result: Result) -> dict[str, Any]:
    kept = [one for one in result.kept if one.draw.kind == kind]
    drops = [one for one in result.drops if one.draw.kind == kind]
    lengths = {}
    for role in _ROLES:
        texts = [text for one in kept for text in one.by_role(role)]
        if texts:
            lengths[role] = {
                "median_words": round(statistics.median(len(text.split()) for text in texts)),
                "median_characters": round(statistics.median(len(text) for text in texts)),
            }
    return {
        "wanted_share": round(specification.kinds[kind], 6),
        "draws": len(kept) + len(drops),
        "kept": len(kept),
        "dropped": len(drops),
        "reasons": _reasons(drop.refused.reason for drop in drops),
        "lengths": lengths,
        "has_tasks": KINDS[kind].has_tasks,
    }


def _languages(specification: Specification, result: Result) -> dict[str, Any]:
    """Return language -> counts, by the language of the query; bitext also has a second one."""
    kept = Counter(one.draw.language for one in result.kept)
    second = Counter(one.draw.target for one in result.kept if one.draw.target)
    draws = kept + Counter(one.draw.language for one in result.drops)
    return {
        code: {
            "name": languages()[code].name,
            "wanted_share": round(share, 6),
            "draws": draws[code],
            "kept": kept[code],
            "kept_as_second": second[code],
        }
        for code, share in specification.languages.items()
    }


def _reasons(reasons: Iterable[str]) -> dict[str, int]:
    counts = Counter(reasons)
    return {reason: counts[reason] for reason in REASONS if counts[reason]}


def _check(counted: dict[str, Any], *, size: int) -> None:
    parts = list(counted["kinds"].values())
    sums = {
        "kept and dropped": counted["kept"] + counted["dropped"] == counted["draws"],
        "reasons": sum(counted["reasons"].values()) == counted["dropped"],
        "kinds": all(
            sum(part[name] for part in parts) == counted[name] for name in ("draws", "kept", "dropped")
        ),
        "reasons of a kind": all(sum(part["reasons"].values()) == part["dropped"] for part in parts),
        "languages": all(
            sum(part[name] for part in counted["languages"].values()) == counted[name]
            for name in ("draws", "kept")
        ),
        "size": counted["kept"] <= size,
    }
    for name, adds_up in sums.items():
        if not adds_up:
            raise DataError(f"the counts do not add up: {name}")

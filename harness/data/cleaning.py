"""Which pairs are dropped before training, and why.

Owns the order of the checks and the counts. The rule: a pair is dropped for the first reason that
holds, and every pair that went in is counted, either as kept or under its reason; of pairs that resemble
each other the first stays. Finding near duplicates is `near_duplicates`' affair, languages `languages`'.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator

from harness.data.pair_sets import PairSet
from harness.data.pairs import Pair
from harness.study.sources import Cleaning

KEPT = "kept"
Check = Callable[[int, Pair], str]
"""Told the row and the pair; returns the reason to drop it, empty if there is none."""


def clean(pairs: PairSet, settings: Cleaning, counts: Counter[str]) -> Iterator[Pair]:
    """Yield the pairs that are kept, in the set's order.

    Args:
        pairs: The pairs.
        settings: What is dropped.
        counts: Told what became of every pair: `kept`, or the reason.
    """
    checks = _checks(pairs, settings)
    for row, pair in enumerate(pairs):
        reason = next((why for check in checks if (why := check(row, pair))), KEPT)
        counts[reason] += 1
        if reason == KEPT:
            yield pair


def _checks(pairs: PairSet, settings: Cleaning) -> list[Check]:
    checks: list[Check] = [_length_check(settings)]
    if settings.copies:
        checks.append(lambda _, pair: "copy" if _plain(pair.query) == _plain(pair.positive) else "")
    if settings.languages:
        from harness.data.languages import language_of

        allowed = frozenset(settings.languages)
        checks.append(lambda _, pair: "" if language_of(pair.positive) in allowed else "language")
    if settings.duplicates != "keep":
        checks.append(_exact_check())
    if settings.duplicates == "near":
        from harness.data.near_duplicates import later_duplicates

        texts = (f"{pair.query}\n{pair.positive}" for pair in pairs)
        later = later_duplicates(
            texts, similarity=settings.similarity, permutations=settings.permutations
        )
        checks.append(lambda row, _: "near duplicate" if later[row] else "")
    return checks


def _length_check(settings: Cleaning) -> Check:
    def check(_: int, pair: Pair) -> str:
        lengths = [len(text.strip()) for text in (pair.query, pair.positive)]
        if min(lengths) < settings.min_characters:
            return "too short"
        is_long = settings.max_characters is not None and max(lengths) > settings.max_characters
        return "too long" if is_long else ""

    return check


def _exact_check() -> Check:
    seen: set[bytes] = set()

    def check(_: int, pair: Pair) -> str:
        text = f"{_plain(pair.query)}\n{_plain(pair.positive)}".encode()
        digest = hashlib.blake2b(text, digest_size=8).digest()
        if digest in seen:
            return "duplicate"
        seen.add(digest)
        return ""

    return check


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())

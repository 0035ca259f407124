"""Texts that are the same but for little: normal form, shingles, MinHash signatures, LSH.

Owns what "the same" means when training and evaluation texts are compared. The rule: two texts are
equal if their normal forms are, and near duplicates if the Jaccard similarity of their shingles,
computed from the texts themselves, reaches the threshold: MinHash (A. Broder, 1997) only picks the
pairs that are looked at. Signatures are datasketch's. Which texts are compared is left to `overlap`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import numpy as np
import xxhash
from datasketch import MinHash
from numpy.typing import NDArray

from harness.data.overlap_settings import Settings

Signatures = NDArray[np.uint32]
"""[texts, permutations]."""

_RECALL = 0.99
"""Share of the pairs exactly at the threshold that the bands should meet at least."""
_PAIRS_A_TEXT = 64
"""Candidates that one text of the larger side may bring from one band: what is said a million times must
not be compared a million times."""
_MARGIN = 4.0
"""Standard errors by which a signature may fall short of the threshold and still be looked at."""


def normalise(text: str) -> str:
    """Return a text's normal form: compatibility characters, case, punctuation and spaces made alike.

    Signs of scripts that put no spaces between words are words of their own.
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_separators()).split())


@cache
def _separators() -> dict[int, str]:
    table = {
        number: " "
        for number in range(0x30000)
        if unicodedata.category(chr(number))[0] in "PZ"
        or unicodedata.category(chr(number)) in {"Cc", "Cf"}
    }
    # Thai and Lao, Khmer, kana, Han: a sign each.
    for first, last in ((0xE00, 0xEFF), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x9FFF)):
        table |= {number: f" {chr(number)} " for number in range(first, last) if number not in table}
    return table


def text_hash(normal: str) -> int:
    """Return 64 bits that equal normal forms share."""
    return xxhash.xxh3_64_intdigest(normal.encode("utf-8", "surrogatepass"))


def shingles(normal: str, *, size: int) -> set[str]:
    """Return the runs of `size` words of a normal form; the whole text where it has fewer."""
    words = normal.split()
    if len(words) <= size:
        return {normal}
    return {" ".join(words[start : start + size]) for start in range(len(words) - size + 1)}


def jaccard(first: str, second: str, *, size: int) -> float:
    """Return the share of shingles that two normal forms have in common, 0 to 1."""
    a, b = shingles(first, size=size), shingles(second, size=size)
    return len(a & b) / len(a | b)


def signatures(normals: Iterable[str], settings: Settings) -> Signatures:
    """Return the MinHash signatures of normal forms."""
    shingled = (
        [one.encode("utf-8", "surrogatepass") for one in shingles(text, size=settings.shingle)]
        for text in normals
    )
    made = MinHash.generator(
        shingled,
        num_perm=settings.permutations,
        seed=1,
        hashfunc=xxhash.xxh32_intdigest,
        scheme="affine32",
    )
    rows = [one.hashvalues for one in made]
    return np.array(rows, dtype=np.uint32).reshape(len(rows), settings.permutations)


def candidates(
    small: Signatures, large: Signatures, settings: Settings, *, block: int = 1 << 14
) -> Iterator[NDArray[np.int64]]:
    """Yield pairs [n, 2] of rows of `small` and `large` that may be near duplicates.

    Memory holds the band values of `small` and of one block of `large`, which may lie on disk.

    Args:
        small: Signatures of the smaller side.
        large: Signatures of the larger side.
        settings: Threshold and signature length.
        block: Rows of `large` at a time.
    """
    rows = _rows_a_band(settings)
    bands = range(settings.permutations // rows)
    orders = []
    for band in bands:
        values = _band_values(small, band, rows)
        order = np.argsort(values, kind="stable")
        orders.append((values[order], order))
    error = np.sqrt(settings.threshold * (1 - settings.threshold) / settings.permutations)
    least = settings.threshold - _MARGIN * error
    for start in range(0, len(large), block):
        part = np.asarray(large[start : start + block])
        found = [
            _pairs(values, order, _band_values(part, band, rows))
            for band, (values, order) in zip(bands, orders, strict=True)
        ]
        pairs = np.unique(np.concatenate(found), axis=0)
        alike = [
            (small[chunk[:, 0]] == part[chunk[:, 1]]).mean(axis=1)
            for chunk in np.array_split(pairs, len(pairs) // block + 1)
        ]
        pairs = pairs[np.concatenate(alike) >= least]
        yield pairs + np.array([0, start])


def _rows_a_band(settings: Settings) -> int:
    """Return the longest band with which pairs at the threshold are still met (see `_RECALL`).

    A pair of similarity t shares one of b bands of r rows with probability 1 - (1 - t^r)^b (Leskovec,
    Rajaraman and Ullman, Mining of Massive Datasets, section 3.4).
    """
    total = settings.permutations
    met = {rows: 1 - (1 - settings.threshold**rows) ** (total // rows) for rows in range(1, total + 1)}
    return max((rows for rows, share in met.items() if share >= _RECALL), default=1)


def _band_values(part: Signatures, band: int, rows: int) -> NDArray[np.uint64]:
    """Return one number a row for its values in a band; a chance collision is sorted out later."""
    values = np.zeros(len(part), dtype=np.uint64)
    for column in range(band * rows, (band + 1) * rows):
        values = values * np.uint64(0x9E3779B97F4A7C15) + part[:, column].astype(np.uint64)
        values ^= values >> np.uint64(29)
    return values


def _pairs(
    values: NDArray[np.uint64], order: NDArray[np.int64], wanted: NDArray[np.uint64]
) -> NDArray[np.int64]:
    low = np.searchsorted(values, wanted, side="left")
    counts = np.minimum(np.searchsorted(values, wanted, side="right") - low, _PAIRS_A_TEXT)
    large = np.repeat(np.arange(len(wanted)), counts)
    within = np.arange(len(large)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.stack([order[np.repeat(low, counts) + within], large], axis=1).astype(np.int64)


def all_near(normals: Sequence[str], others: Sequence[str], settings: Settings) -> set[tuple[int, int]]:
    """Return all pairs of two small lists that are near duplicates, found through the signatures."""
    first, second = signatures(normals, settings), signatures(others, settings)
    return {
        (int(a), int(b))
        for pairs in candidates(first, second, settings)
        for a, b in pairs
        if jaccard(normals[a], others[b], size=settings.shingle) >= settings.threshold
    }

"""One result file of mteb, of whatever age.

Owns the three layouts that such files have had: `scores` (since mteb 1.11: lists of subsets by split),
`nested` (before: splits at the top, subsets and similarities as keys between timings) and `bare` (the
same without any word on who made it). The rule: nothing is filled in; a metric is found under the names
that it has had and under no other. What becomes of the numbers is left to `importing`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Layout = Literal["scores", "nested", "bare"]

_SIMILARITIES = {
    "cos_sim": "cosine",
    "cosine": "cosine",
    "dot": "dot",
    "euclidean": "euclidean",
    "manhattan": "manhattan",
    "max": "max",
    "similarity": "similarity",
}
"""Keys under which metrics of one similarity were nested -> the prefix that they have today."""

_NOT_SUBSETS = frozenset({*_SIMILARITIES, "v_measures"})

_FORMER_NAMES = {
    "map_at_1000": ("map",),
    "max_over_subqueries_map_at_1000": ("map",),
}
"""Metric -> names that the same number had in older files. Rerankers scored their whole list then, as
a cut at 1000 of a shorter list does; the maximum over sub-queries was taken under both names."""


_SIGNS_OF_HALVES = (b"\\ud", b"\\uD", b"\xed")
"""Bytes of which one is there wherever half of a surrogate pair is."""


class UnreadableError(ValueError):
    """A file that holds no scores of mteb; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The metrics of one split and subset."""

    split: str
    subset: str
    languages: tuple[str, ...]
    metrics: Mapping[str, Any]
    """As in the file: numbers by name, or nested by similarity."""

    def find(self, metric: str) -> float | None:
        """Return a metric under its present or a former name; None if the file has none of them.

        A number that is none (NaN, infinite, null) comes back as NaN.
        """
        for name in (metric, *_FORMER_NAMES.get(metric, ())):
            if name in self.metrics:
                return _number(self.metrics[name])
        prefix, _, rest = metric.partition("_")
        for key, present in _SIMILARITIES.items():
            if present != prefix:
                continue
            if f"{key}_{rest}" in self.metrics:
                return _number(self.metrics[f"{key}_{rest}"])
            nested = self.metrics.get(key)
            if isinstance(nested, dict) and rest in nested:
                return _number(nested[rest])
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFile:
    """What one file says."""

    task: str
    """The task that the file names; empty where it names none."""
    layout: Layout
    dataset_revision: str
    evaluator: str
    """`mteb` and its version; empty where the numbers were copied from elsewhere."""
    seconds: float | None
    entries: tuple[Entry, ...]


def parse_result(content: bytes) -> ResultFile:
    """Read a result file.

    Raises:
        UnreadableError: If the content is not JSON, or no scores of mteb.
    """
    try:
        # Python's parser takes the bare NaN that some files hold; strict ones refuse it.
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise UnreadableError("not a JSON object")
    if any(one in content for one in _SIGNS_OF_HALVES) and not _is_text(document):
        raise UnreadableError("a text in it is no Unicode")
    layout = _layout(document)
    entries = tuple(_entries_of_scores(document) if layout == "scores" else _entries(document))
    if not entries:
        raise UnreadableError("no scores in it")
    version = document.get("mteb_version")
    return ResultFile(
        task=str(document.get("task_name") or document.get("mteb_dataset_name") or ""),
        layout=layout,
        dataset_revision=_text(document.get("dataset_revision")),
        evaluator=f"mteb {version}" if version else "",
        seconds=_seconds(document),
        entries=entries,
    )


def _is_text(document: object) -> bool:
    """Return whether all strings can be written: JSON may escape halves of characters."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _layout(document: Mapping[str, Any]) -> Layout:
    if isinstance(document.get("scores"), dict):
        return "scores"
    return "nested" if "mteb_version" in document or "mteb_dataset_name" in document else "bare"


def _entries_of_scores(document: Mapping[str, Any]) -> Iterator[Entry]:
    for split, listed in document["scores"].items():
        if not isinstance(listed, list):
            raise UnreadableError(f"scores of split {split!r} are not a list")
        for metrics in listed:
            if not isinstance(metrics, dict):
                raise UnreadableError(f"a score of split {split!r} is not an object")
            languages = metrics.get("languages")
            yield Entry(
                split=split,
                subset=str(metrics.get("hf_subset", "default")),
                languages=_texts(languages),
                metrics=metrics,
            )


def _entries(document: Mapping[str, Any]) -> Iterator[Entry]:
    for split, scores in document.items():
        if not isinstance(scores, dict):
            continue
        subsets = {
            name: metrics
            for name, metrics in scores.items()
            if isinstance(metrics, dict) and name not in _NOT_SUBSETS
        }
        for subset, metrics in (subsets or {"default": scores}).items():
            if any(isinstance(one, float | int | dict) for one in metrics.values()):
                yield Entry(split=split, subset=subset, languages=(), metrics=metrics)


def _texts(value: Any) -> tuple[str, ...]:
    is_plain = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return tuple(value) if is_plain else ()


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, float | int):
        return float("nan")
    try:
        return float(value)
    except OverflowError:
        return float("nan")


def _text(value: Any) -> str:
    return "" if value in (None, "None") else str(value)


def _seconds(document: Mapping[str, Any]) -> float | None:
    places = [document, *(one for one in document.values() if isinstance(one, dict))]
    found = [_number(one["evaluation_time"]) for one in places if "evaluation_time" in one]
    known = [seconds for seconds in found if math.isfinite(seconds)]
    return math.fsum(known) if known else None

"""How much of a study's evaluation texts stands in its training pairs: `overlap.json`.

Owns the file that lies beside `records.jsonl` once somebody looked. The rule: it holds counts, the
settings that they were counted with and a few examples, so that whoever reads a table can see which
tasks are leaked and why; of a task that was not looked at it says so. Looking is left to
`harness.data.overlap`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.errors import RecordError
from harness.identity.canonical import to_plain

OVERLAP_NAME = "overlap.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One evaluation text that was found."""

    text: str
    """The evaluation text, shortened."""
    found: str
    """The training text, shortened."""
    side: str
    """`query` or `document`: what the training text is to its pair."""
    similarity: float
    """Jaccard similarity of their shingles; 1 where their normal forms are equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One kind of text of one task against one pair set."""

    pairs: str
    """`<source>/<pair set>` of the study."""
    task: str
    kind: str
    """`query`, `document`, or `text` where a task does not tell them apart."""
    num_texts: int
    """Distinct texts of this kind that are long enough to tell."""
    num_short: int
    """Distinct texts that are not."""
    num_exact: int
    """Texts whose normal form is that of a training text."""
    num_near: int
    """Texts with a near duplicate, those with an equal one not counted."""
    num_in_queries: int
    """Texts found among the queries of the pairs, equal or near."""
    num_in_documents: int
    """Texts found among the positives and negatives of the pairs, equal or near."""
    examples: tuple[Example, ...] = ()

    @property
    def share(self) -> float:
        """Return the share of texts that were found, 0 to 1."""
        return (self.num_exact + self.num_near) / self.num_texts if self.num_texts else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What was found for a study."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    settings: dict[str, float]
    """Threshold, permutations, words a shingle and words a text at least."""
    leaked_share: float
    """A task is leaked if this share of one kind of its texts was found."""
    trained_on: dict[str, tuple[str, ...]]
    """Label of a row -> the pair sets that it is trained on."""
    in_domain: dict[str, tuple[str, ...]]
    """Pair set -> tasks that its source declares its own."""
    findings: tuple[Finding, ...]
    missing: dict[str, str] = field(default_factory=dict)
    """Task that could not be looked at -> why."""

    def leaked(self, label: str) -> dict[str, list[Finding]]:
        """Return the leaked tasks of a row, each with the findings that make it so."""
        found: dict[str, list[Finding]] = {}
        for one in self.findings:
            if self.is_leaked(one) and one.pairs in self.trained_on.get(label, ()):
                found.setdefault(one.task, []).append(one)
        return found

    def is_leaked(self, finding: Finding) -> bool:
        """Return whether so many texts were found that the task counts as leaked."""
        return finding.share > 0 and finding.share >= self.leaked_share

    def in_domain_for(self, label: str) -> list[str]:
        """Return the tasks that are in-domain for a row."""
        used = self.trained_on.get(label, ())
        return sorted({task for pairs in used for task in self.in_domain.get(pairs, ())})

    def leaked_for(self) -> dict[str, list[str]]:
        """Return task -> labels of the rows for which it is leaked."""
        found: dict[str, list[str]] = {}
        for label in self.trained_on:
            for task in self.leaked(label):
                found.setdefault(task, []).append(label)
        return found

    def standing(self, task: str) -> str:
        """Return `leaked` (for some row), `clean`, or `not looked at`."""
        if task in self.leaked_for():
            return "leaked"
        is_known = any(one.task == task for one in self.findings)
        return "clean" if is_known and task not in self.missing else "not looked at"


def write_overlap(overlap: Overlap, path: Path) -> None:
    """Write `overlap.json`, the same bytes for equal findings; the file is replaced as a whole."""
    text = json.dumps(to_plain(overlap), indent=1, ensure_ascii=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    temporary.replace(path)


def read_overlap(folder: Path) -> Overlap | None:
    """Return what lies beside a study's records; None where nobody looked.

    Raises:
        RecordError: If the file is there and is none of this kind.
    """
    path = folder / OVERLAP_NAME
    try:
        return TypeAdapter(Overlap).validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise RecordError(f"{path}: not a study's overlap: {error}") from error


def findings_to_plain(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return findings as plain values, with their shares."""
    return [{**to_plain(one), "share": round(one.share, 6)} for one in findings]

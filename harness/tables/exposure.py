"""Which cells of a table were scored on texts that their model may know.

Owns `exposures` and what is said of them. The rule: a cell is marked for what its own row was trained
on: `leaked` where the task's texts stand in the row's training pairs, `in-domain` where a source of
those pairs declares the task its own. Nobody looked is not the same as nothing found. Looking is left to
`harness data overlap`, numbering of footnotes to `notes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.records.overlap import Overlap

_PLURALS = {"query": "queries", "document": "documents", "text": "texts"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What a row may know of one task."""

    kinds: tuple[str, ...]
    """Of `leaked` and `in-domain`."""
    text: str
    """Which of the task's texts, and from where, as a sentence."""


def exposures(overlap: Overlap, label: str) -> Mapping[str, Exposure]:
    """Return task -> what a row may know of it; nothing for rows that are not trained."""
    told: dict[str, dict[str, list[str]]] = {}
    for task, findings in overlap.leaked(label).items():
        told.setdefault(task, {})["leaked"] = [
            f"{one.share:.1%} of its {_PLURALS[one.kind]} in {one.pairs}" for one in findings
        ]
    used = overlap.trained_on.get(label, ())
    for task in overlap.in_domain_for(label):
        whose = [pairs for pairs in used if task in overlap.in_domain.get(pairs, ())]
        told.setdefault(task, {})["in-domain"] = [f"by the source of {pairs}" for pairs in whose]
    return {
        task: Exposure(
            kinds=tuple(kinds),
            text="; ".join(
                f"{kind.capitalize()}: {', '.join(sorted(where))}" for kind, where in kinds.items()
            )
            + ".",
        )
        for task, kinds in told.items()
    }


def explain_exposure(overlap: Overlap, tasks: Iterable[str], labels: Iterable[str]) -> list[str]:
    """Return sentences that say what the marks mean, and what was not looked at.

    Args:
        overlap: What was found.
        tasks: The tasks that are shown.
        labels: The variants that are shown.
    """
    shown = set(tasks)
    unknown = [label for label in labels if label not in overlap.trained_on]
    notes = [meaning_of_leaked(overlap)]
    if any(shown & set(own) for own in overlap.in_domain.values()):
        notes.append("In-domain: a source of the training pairs declares the task its own.")
    notes += not_looked_at(overlap, shown)
    if unknown:
        notes.append(f"Not looked at for {'; '.join(unknown)}: harness data overlap does.")
    return notes


def meaning_of_leaked(overlap: Overlap) -> str:
    """Return what a task must be to be leaked."""
    settings = overlap.settings
    return (
        f"Leaked: at least {overlap.leaked_share:.1%} of one kind of a task's texts (queries, documents"
        " or others) stand in the training pairs, equal but for case, punctuation and spaces or with"
        f" {settings['threshold']:g} or more of their word {settings['shingle']:g}-grams in common."
    )


def not_looked_at(overlap: Overlap, tasks: set[str]) -> list[str]:
    """Return a sentence for each of the tasks that could not be compared."""
    return [
        f"{task}: not looked at: {reason}."
        for task, reason in sorted(overlap.missing.items())
        if task in tasks
    ]


def leaks(overlap: Overlap, tasks: Iterable[str]) -> list[str]:
    """Return sentences that say which tasks are leaked, for which variants, and what that means."""
    shown = set(tasks)
    found = {task: rows for task, rows in overlap.leaked_for().items() if task in shown}
    notes = [meaning_of_leaked(overlap)]
    for task in sorted(found):
        whose = "all variants" if len(found[task]) == len(overlap.trained_on) else "; ".join(found[task])
        kinds = {
            f"{one.share:.1%} of its {_PLURALS[one.kind]} in {one.pairs}"
            for label in found[task]
            for one in overlap.leaked(label)[task]
        }
        notes.append(f"{task}: leaked for {whose} ({', '.join(sorted(kinds))}).")
    return [*notes, *not_looked_at(overlap, shown)]

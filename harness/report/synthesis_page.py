"""The statistics page of synthesised data: kinds and languages, as in E5-mistral's figure 2, and drops.

Owns what its template sees. The rule: the page is a function of the provenance alone, loads nothing,
runs nothing, and escapes every string.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.report.page import template_environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One line of a chart."""

    label: str
    number: int
    share: str
    """Of all examples, as text."""
    wanted: str
    """Share that was asked for, as text."""
    width: str
    """Length of the bar, in percent of the largest."""
    wanted_at: str
    """Place of the mark for the wanted share, likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drops:
    """One line of the table of drops: a kind, or all."""

    label: str
    draws: int
    kept: int
    dropped: int
    by_reason: tuple[int, ...]


def render_synthesis(provenance: Mapping[str, Any]) -> str:
    """Return `statistics.html`.

    Args:
        provenance: What `provenance.json` of a synthesised source holds.
    """
    counts = provenance["counts"]
    reasons = tuple(counts["reasons"])
    rows = [*counts["kinds"].items(), ("all", counts)]
    text = (
        template_environment()
        .get_template("synthesis.html.j2")
        .render(
            name=provenance["name"],
            facts=_facts(provenance),
            stopped=provenance["stopped"],
            kinds=_bars((kind, part) for kind, part in counts["kinds"].items()),
            languages=_bars((part["name"], part) for part in counts["languages"].values()),
            reasons=reasons,
            drops=[_drops(label, part, reasons) for label, part in rows],
            lengths=[
                (kind, role, length["median_words"], length["median_characters"])
                for kind, part in counts["kinds"].items()
                for role, length in part["lengths"].items()
            ],
            tasks=counts["tasks"],
            not_judged=counts["language_not_judged"],
            groups=_groups(provenance),
        )
    )
    return text.rstrip("\n") + "\n"


def _facts(provenance: Mapping[str, Any]) -> str:
    counts = provenance["counts"]
    spoken = sum(part["kept"] > 0 for part in counts["languages"].values())
    parts = [
        f"{counts['kept']:,} examples of {counts['draws']:,} draws",
        f"{spoken} languages",
        f"{counts['unique_instructions']:,} instructions",
        provenance["model"],
        provenance["date"][:10],
    ]
    return " · ".join(parts)


def _bars(parts: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Bar]:
    """Return bars, the longest first; what is neither there nor noticeable comes last."""
    listed = list(parts)
    total = sum(part["kept"] for _, part in listed) or 1
    largest = max(max(part["kept"] / total, part["wanted_share"]) for _, part in listed)
    listed.sort(key=lambda one: (-one[1]["kept"], -one[1]["wanted_share"], one[0]))
    return [
        Bar(
            label=label,
            number=part["kept"],
            share=f"{100 * part['kept'] / total:.1f} %",
            wanted=f"{100 * part['wanted_share']:.1f} %",
            width=f"{100 * part['kept'] / total / largest:.2f}%",
            wanted_at=f"{100 * part['wanted_share'] / largest:.2f}%",
        )
        for label, part in listed
    ]


def _drops(label: str, part: Mapping[str, Any], reasons: tuple[str, ...]) -> Drops:
    return Drops(
        label=label,
        draws=part["draws"],
        kept=part["kept"],
        dropped=part["dropped"],
        by_reason=tuple(part["reasons"].get(reason, 0) for reason in reasons),
    )


def _groups(provenance: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    parameters = provenance["parameters"]
    sampling = {name.replace("_", " "): f"{value}" for name, value in parameters["sampling"].items()}
    model = {
        "model": provenance["model"],
        "answered as": ", ".join(provenance["served_by"]),
        **provenance["server"],
    }
    return {
        "model": {name: value for name, value in model.items() if value},
        "prompts": {**provenance["prompts"], "seed": f"{parameters['seed']}", **sampling},
        "books": {name: f"{number:,}" for name, number in provenance["books"].items()},
        "versions": {
            name: version
            for name, version in provenance["versions"].items()
            if name in {"embedding-harness", "openai", "python", "transformers"}
        },
    }

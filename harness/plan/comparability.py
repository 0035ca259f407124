"""Whether rows that a study compares differ in nothing but what it compares.

Owns the guard of comparisons. The rule: along a factor, two rows may differ in one kind of thing.
Amounts (steps, batch, negatives, lengths), prompts, number format, seeds of stages, package versions and
devices are guarded: a factor may be about one of these alone, or about anything else, never both. A
stage that only one row has is what is compared, and brings its own amounts. What differs beside the
factor refuses the study, unless the study allows it by name; tables mark it then.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from harness.errors import StudyError
from harness.plan.environments import Environments, Made
from harness.plan.graph import Plan, PlanRow
from harness.plan.quantities import derive_quantities, differing_quantities
from harness.study import Recipe, Study
from harness.study.commitments import Comparison
from harness.study.variants import Variant

_SECTIONS = tuple(field.name for field in dataclasses.fields(Recipe) if field.name != "seed")
_read_sections = attrgetter(*_SECTIONS)
_UNUSED = object()
"""The pairs of a stage that a row has not."""
_STAGES = ("pretraining", "reconstruction", "contrastive")
_AMOUNTS = frozenset(
    {"steps", "global_batch", "num_negatives", "query_length", "document_length", "max_length"}
)
_TREATMENT = "treatment"
_SCHEDULE = "schedule"
"""Goes with amounts and treatments alike: a longer training has a longer warm-up, and is measured less
often."""
_MAX_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Confounded:
    """Pairs of rows along one factor that differ in something else too."""

    factor: str
    row: str
    """Label of the first such row."""
    counterpart: str
    """Label of the row that it is compared with."""
    fields: tuple[str, ...]
    """What differs beside the factor, as `allow` takes it."""
    quantities: tuple[str, ...]
    """The same, and what follows from it, with both values."""
    num_pairs: int
    is_allowed: bool

    def describe(self) -> str:
        """Return one sentence with both rows and both values."""
        more = f" (and {self.num_pairs - 1} more pairs)" if self.num_pairs > 1 else ""
        return (
            f"{self.row!r} and {self.counterpart!r}{more} differ in more than {self.factor}: "
            f"{'; '.join(self.quantities)}"
        )


def confounded_pairs(
    study: Study, plan: Plan, *, made: Mapping[str, Made] | None = None, now: Made | None = None
) -> list[Confounded]:
    """Return what compared rows differ in beside the factor, allowed or not, each kind once.

    Args:
        study: Says which rows are compared.
        plan: Its plan.
        made: Fingerprint -> making, of the steps that are done.
        now: The making of those that are not.
    """
    rows = {row.label: row for row in plan.rows if not row.is_reference}
    environments = Environments(plan, made or {}, now)
    differences = _Differences(study.variants)
    by_levels = {tuple(variant.levels.values()): variant for variant in study.variants}
    found: dict[tuple[Any, ...], Confounded] = {}
    for comparison in study.comparisons:
        for one, other in _pairs(study, comparison, by_levels):
            values = differences.between(one.label, other.label)
            if len(values) < 2 and not environments.are_mixed:
                continue
            pair = rows[one.label], rows[other.label]
            unlike = environments.unlike(*pair)
            fields, is_allowed = _beside(values, unlike, comparison.allow)
            if not fields:
                continue
            key = (comparison.factor, one.levels[comparison.factor], fields, is_allowed)
            if key in found:
                found[key] = dataclasses.replace(found[key], num_pairs=found[key].num_pairs + 1)
                continue
            named = [f"{name} {' against '.join(values[name])}" for name in fields if name in values]
            observed = [text for name in fields for text in unlike.get(name, ())]
            found[key] = Confounded(
                factor=comparison.factor,
                row=one.label,
                counterpart=other.label,
                fields=fields,
                quantities=(*named, *(_quantities(plan, *pair) if named else ()), *observed),
                num_pairs=1,
                is_allowed=is_allowed,
            )
    return list(found.values())


def check_comparable(study: Study, pairs: Sequence[Confounded]) -> None:
    """Refuse a study whose comparisons are confounded.

    Raises:
        StudyError: Naming the rows, what they differ in with both values, and how to allow it.
    """
    refused = [one for one in pairs if not one.is_allowed]
    if not refused:
        return
    lines = [f"{study.path}: factors.{one.factor}: {one.describe()}" for one in refused[:_MAX_SHOWN]]
    if len(refused) > _MAX_SHOWN:
        lines.append(f"... and {len(refused) - _MAX_SHOWN} more")
    fields = ", ".join(dict.fromkeys(name for one in refused for name in one.fields))
    raise StudyError(
        "\n".join(lines),
        cure=f"make them alike, or say `allow: [{fields}]` in the study: tables then mark these rows",
    )


def _pairs(
    study: Study, comparison: Comparison, by_levels: Mapping[tuple[str, ...], Variant]
) -> Iterator[tuple[Variant, Variant]]:
    """Yield each row with the one that it is compared with along a factor."""
    where = comparison.where.items()
    place = list(study.factors).index(comparison.factor)
    if comparison.levels is None:
        baseline = next(one for one in study.variants if one.label == study.baseline)
        start, end = baseline.levels[comparison.factor], None
    else:
        start, end = map(str, comparison.levels)
    for levels, variant in by_levels.items():
        if (level := levels[place]) == start or (end is not None and end != level):
            continue
        if where and not where <= variant.levels.items():
            continue
        counterpart = by_levels.get((*levels[:place], start, *levels[place + 1 :]))
        if counterpart is not None:
            yield variant, counterpart


def _beside(
    differing: Mapping[str, tuple[str, str]], observed: Iterable[str], allow: Sequence[str]
) -> tuple[tuple[str, ...], bool]:
    """Return what differs beside the factor, and whether all of it is allowed."""
    guarded = [name for name in differing if _kind(name) not in (_TREATMENT, _SCHEDULE)]
    if not _is_mixed(differing):
        guarded = []
    left = [name for name in differing if not _is_within(name, allow)]
    refused = [name for name in guarded if name in left and _is_mixed(left)]
    refused += [name for name in observed if name not in allow]
    return (tuple(refused), False) if refused else ((*guarded, *observed), True)


def _is_mixed(names: Iterable[str]) -> bool:
    """Return whether fields are of more than one kind."""
    return len({_kind(name) for name in names} - {_SCHEDULE}) > 1


def _is_within(name: str, allow: Sequence[str]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in allow)


def _kind(name: str) -> str:
    """Return which kind of thing a differing field is: guarded ones are compared apart from all else."""
    section, _, leaf = name.partition(".")
    if section == "prompts":
        return "prompts"
    if leaf == "dtype":
        return "dtype"
    if leaf == "seed":
        # Else rows would not share data order and negatives, and chance would look like an effect.
        return "seed"
    if leaf in {"warmup_steps", "validate_every"}:
        return _SCHEDULE
    # A stage's name alone: one row has it and the other has it not.
    return "amounts" if leaf in _AMOUNTS and section in (*_STAGES, "model") else _TREATMENT


def _quantities(plan: Plan, one: PlanRow, other: PlanRow) -> list[str]:
    """Return what follows from two rows and differs, where both have it."""
    derived = differing_quantities(derive_quantities(plan, one), derive_quantities(plan, other))
    return [
        f"{name} {mine} against {theirs}"
        for name, (mine, theirs) in derived.items()
        if "none" not in (mine, theirs)
    ]


class _Differences:
    """In which recipe fields variants differ; equal sections are one object, asked about once."""

    def __init__(self, variants: Sequence[Variant]) -> None:
        recipes = [one.recipes[0] for one in variants]
        columns = zip(*map(_read_sections, recipes), strict=True)
        # Most sections are one object in all variants.
        varied = {
            name: column
            for name, column in zip(_SECTIONS, columns, strict=True)
            if len(set(map(id, column))) > 1
        }
        if "weak_data" in varied:
            varied["weak_data"] = tuple(
                one.weak_data if one.pretraining.steps else _UNUSED for one in recipes
            )
        self._names = tuple(varied)
        rows = list(zip(*varied.values(), strict=True)) or [()] * len(variants)
        self._rows = dict(zip([one.label for one in variants], rows, strict=True))
        self._objects = {label: frozenset(map(id, row)) for label, row in self._rows.items()}
        self._known: dict[tuple[frozenset[int], frozenset[int]], dict[str, tuple[str, str]]] = {}

    def between(self, one: str, other: str) -> Mapping[str, tuple[str, str]]:
        """Return dotted field -> both values, for the variants with these labels."""
        first, second = self._objects[one], self._objects[other]
        # What both have says nothing: of many pairs the same few objects differ.
        key = (first - second, second - first)
        if (known := self._known.get(key)) is None:
            known = self._known[key] = self._compare(self._rows[one], self._rows[other])
        return known

    def _compare(self, one: Sequence[Any], other: Sequence[Any]) -> dict[str, tuple[str, str]]:
        return {
            field: values
            for section, mine, theirs in zip(self._names, one, other, strict=True)
            if mine is not theirs
            for field, values in _differing(section, mine, theirs).items()
        }


def _differing(section: str, one: Any, other: Any) -> dict[str, tuple[str, str]]:
    if one is _UNUSED or other is _UNUSED:
        return {}
    if section in _STAGES and 0 in (one.steps, other.steps):
        # Both without the stage: its settings mean nothing. One without: the stage is what is compared.
        shown = ("off" if one.steps == 0 else "on", "off" if other.steps == 0 else "on")
        return {section: shown} if shown[0] != shown[1] else {}
    return dict(_unequal(section, one, other))


def _unequal(name: str, one: Any, other: Any) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield dotted field -> both values, for all fields that differ."""
    if one == other:
        return
    if dataclasses.is_dataclass(one) and dataclasses.is_dataclass(other):
        for field in dataclasses.fields(one):
            mine, theirs = getattr(one, field.name), getattr(other, field.name)
            if mine is not theirs:
                yield from _unequal(f"{name}.{field.name}", mine, theirs)
    elif isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted(one.keys() | other.keys()):
            yield from _unequal(f"{name}.{key}", one.get(key, "none"), other.get(key, "none"))
    else:
        yield name, (_show(one), _show(other))


def _show(value: Any) -> str:
    """Return a value as text; texts with blanks at an end, and empty ones, in quotes."""
    is_word = not isinstance(value, str) or (value != "" and value == value.strip())
    return str(value) if is_word else repr(value)

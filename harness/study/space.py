"""A search space within its study: what a point sets in the recipe, and what is wrong with a space.

Owns conditions, overrides and the checks of a `search` section. The rule: whatever a sampler may ask for
gives a recipe that holds, and no objective reads a task that the final table shows. Choosing points is
left to `harness.search`.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import StudyError, did_you_mean
from harness.study.document import StudyDocument
from harness.study.expression import MEASURES, Expression, parse_expression
from harness.study.profiles import set_path
from harness.study.recipe import Recipe
from harness.study.search import Choices, FloatRange, IntRange, Parameter, Search
from harness.study.source_text import FieldPath, SourceText
from harness.study.validation import allowed_fields, describe

Scalar = str | int | float | bool
Point = Mapping[str, Scalar]
"""Parameter -> value; a parameter whose condition does not hold is left out."""

_RECIPE = TypeAdapter(Recipe)
_DIGITS = 4
"""Significant digits of a drawn number: finer ones are below any noise and make long file names."""


def is_active(parameter: Parameter, point: Point) -> bool:
    """Return whether a parameter is set at a point that has values for the earlier ones."""
    return all(
        name in point and point[name] in (allowed if isinstance(allowed, list) else [allowed])
        for name, allowed in parameter.when.items()
    )


def overrides_of(space: Mapping[str, Parameter], point: Point) -> dict[str, Any]:
    """Return dotted field path -> value that a point sets in the recipe."""
    found: dict[str, Any] = {}
    for name, value in point.items():
        parameter = space[name]
        if isinstance(parameter, Choices) and isinstance(parameter.choices, dict):
            found.update(parameter.choices[str(value)])
        else:
            found[name] = value
    return found


def resolve_point(recipe: Mapping[str, Any], overrides: Mapping[str, Any]) -> Recipe:
    """Return the recipe at a point.

    Args:
        recipe: The study's recipe as plain values, the baseline's levels applied.
        overrides: Dotted field path -> value.

    Raises:
        ValidationError: If the recipe does not hold.
    """
    return _RECIPE.validate_python(overridden(recipe, overrides))


def overridden(recipe: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain values of a recipe with some fields set."""
    data = copy.deepcopy(dict(recipe))
    for path, value in overrides.items():
        set_path(data, tuple(path.split(".")), copy.deepcopy(value))
    return data


def tidy(parameter: Parameter, value: Scalar) -> Scalar:
    """Return a drawn value with few digits, within its range."""
    if not isinstance(parameter, FloatRange):
        return value
    return min(max(float(f"{value:.{_DIGITS}g}"), parameter.low), parameter.high)


def grid_points(space: Mapping[str, Parameter]) -> Iterator[dict[str, Scalar]]:
    """Yield every point of a space, conditions respected, in the file's order.

    Raises:
        StudyError: If a range of floats has no step.
    """
    yield from _grid(list(space.items()), {})


def _grid(rest: list[tuple[str, Parameter]], point: dict[str, Scalar]) -> Iterator[dict[str, Scalar]]:
    if not rest:
        yield dict(point)
        return
    (name, parameter), *others = rest
    if not is_active(parameter, point):
        yield from _grid(others, point)
        return
    for value in _values(name, parameter):
        yield from _grid(others, {**point, name: value})


def _values(name: str, parameter: Parameter) -> Iterator[Scalar]:
    if isinstance(parameter, Choices):
        yield from parameter.levels
        return
    if parameter.step is None or parameter.log:
        raise StudyError(f"search.space.{name}: a grid needs choices, or a `step` without `log`")
    for index in itertools.count():
        value = parameter.low + index * parameter.step
        if value > parameter.high + 1e-9 * parameter.step:
            return
        yield int(value) if isinstance(parameter, IntRange) else tidy(parameter, value)


def check_search(
    document: StudyDocument,
    recipe: Mapping[str, Any],
    suites: Mapping[str, tuple[str, ...]],
    source: SourceText,
) -> None:
    """Refuse a search that cannot be run or that would choose on the final table.

    Args:
        document: The study.
        recipe: Its recipe as plain values, the baseline's levels applied.
        suites: Suite -> all of its tasks.
        source: The file.

    Raises:
        StudyError: With file, line, field and cure.
    """
    search = document.search
    if search is None:
        return
    for index, objective in enumerate(search.objectives):
        where: FieldPath = ("search", "objectives", index, objective.direction)
        try:
            expression = parse_expression(objective.expression, suites)
        except ValueError as error:
            raise source.error(where, str(error)) from None
        for suite, task in expression.cells:
            _check_development(suite, task, document, suites, where, source)
    if len(search.objectives) > 1 and search.pruner.kind != "none":
        raise source.error(
            ("search", "pruner", "kind"), "a search with several objectives ends no trial early"
        )
    if search.pruner.kind == "wilcoxon" and not _is_mean(
        parse_expression(search.objectives[0].expression, suites)
    ):
        raise source.error(
            ("search", "pruner", "kind"),
            "wilcoxon compares task by task: the objective must be the mean over tasks",
            cure="for example `maximize: dev`",
        )
    _check_space(search, recipe, source)
    _check_storage(search, source)


def _is_mean(objective: Expression) -> bool:
    """Return whether an objective is the mean over its cells, tried on two sets of scores."""
    for power in (1, 2):
        scores = {cell: 1.0 / (place + 2) ** power for place, cell in enumerate(objective.cells)}
        wanted = math.fsum(scores.values()) / max(1, len(scores))
        try:
            value = objective.evaluate(scores.__getitem__, dict.fromkeys(MEASURES, 1.0))
        except ZeroDivisionError:
            return False
        if not math.isclose(value, wanted):
            return False
    return True


def _check_development(
    suite: str,
    task: str,
    document: StudyDocument,
    suites: Mapping[str, tuple[str, ...]],
    where: FieldPath,
    source: SourceText,
) -> None:
    if document.suites[suite].role != "development":
        raise source.error(
            where,
            f"{suite!r} is a final suite: what is chosen on it cannot be judged by it",
            cure=f"take other tasks, in a suite with `role: development`; or say so of {suite!r}",
        )
    evaluator = document.suites[suite].evaluator
    for name, other in document.suites.items():
        if other.role == "final" and other.evaluator == evaluator and task in suites[name]:
            raise source.error(
                where,
                f"{task} is also in the final suite {name!r}: it cannot both choose and judge",
                cure=f"leave it out of {suite!r} or of {name!r}",
            )


def _check_space(search: Search, recipe: Mapping[str, Any], source: SourceText) -> None:
    earlier: dict[str, Parameter] = {}
    for name, parameter in search.space.items():
        where: FieldPath = ("search", "space", name)
        for needed in parameter.when:
            if needed not in earlier:
                raise source.error(
                    (*where, "when"),
                    f"{needed!r} is no parameter above this one.{did_you_mean(needed, earlier)}",
                )
        for value in _bounds(parameter):
            overrides = overrides_of({name: parameter}, {name: value})
            for path in overrides:
                _check_field(path, where, source)
            try:
                resolve_point(recipe, overrides)
            except ValidationError as error:
                raise describe(
                    error, Recipe, overridden(recipe, overrides), source, below=where
                ) from None
        earlier[name] = parameter
    if search.sampler.kind == "grid":
        try:
            next(grid_points(search.space))
        except StudyError as error:
            raise source.error(("search", "sampler", "kind"), error.message) from None


def _bounds(parameter: Parameter) -> tuple[Scalar, ...]:
    return parameter.levels if isinstance(parameter, Choices) else (parameter.low, parameter.high)


def _check_field(path: str, where: FieldPath, source: SourceText) -> None:
    *parents, last = path.split(".")
    allowed = [name for name in allowed_fields(Recipe, tuple(parents)) if name != "seed"]
    if last not in allowed:
        raise source.error(
            where, f"no recipe has a field {path!r} to search.{did_you_mean(last, allowed)}"
        )


def _check_storage(search: Search, source: SourceText) -> None:
    address = search.storage or ""
    user, at, _ = address.partition("://")[2].partition("/")[0].rpartition("@")
    if at and ":" in user:
        raise source.error(
            ("search", "storage"),
            "a password does not belong into a study",
            cure="leave it out and set PGPASSWORD, or give the whole URL in HARNESS_SEARCH_STORAGE",
        )

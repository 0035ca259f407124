"""A point of the space as a variant: its plan, and its objectives from the artifacts.

Owns the way from a trial's parameters to steps and back to numbers. The rule: a trial is a variant like
any other, so that whatever has been trained and scored for a study, by whomever, is not done again; and
its score is the one that the table shows.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from harness.errors import HarnessError
from harness.evaluation.scores import read_scores
from harness.execution.noted import searched
from harness.execution.store import ArtifactStore
from harness.identity import fingerprint
from harness.identity.canonical import to_plain
from harness.plan import Plan, compile_plan
from harness.plan.graph import Member
from harness.records.summary import Member as MemberSummary
from harness.records.summary import RowSummary, StudySummary, SuiteSummary
from harness.search.ledger import Identity
from harness.search.size import count_trained
from harness.stages.evaluate import SCORES_NAME
from harness.study import Recipe, Study, Variant
from harness.study.expression import Cell, Expression, parse_expression
from harness.study.factors import level_name
from harness.study.search import Search
from harness.study.space import Point, overrides_of, resolve_point
from harness.tables.aggregate import Score
from harness.tables.scores import Scores
from harness.tables.table import SeedValue

TRAINING = ("reconstruct", "contrast")


class NoValueError(HarnessError):
    """A trial whose steps are done and that has no value all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What a trial is worth."""

    values: tuple[float, ...]
    """One an objective: means over the training seeds."""
    by_seed: tuple[tuple[float, ...], ...]
    """For each training seed, one an objective."""


class Cells:
    """The variants of one search.

    Args:
        study: The study; its `search` section is there.
        store: Where artifacts are.
    """

    def __init__(self, study: Study, store: ArtifactStore) -> None:
        if study.search is None:
            raise HarnessError(
                f"{study.path}: this study has no `search` section",
                cure="see ablations/temperature-and-rank.yaml for one",
            )
        self.search: Search = study.search
        self.store = store
        tasks = {name: suite.tasks for name, suite in study.suites.items()}
        self.objectives: tuple[Expression, ...] = tuple(
            parse_expression(objective.expression, tasks) for objective in self.search.objectives
        )
        self.cells: tuple[Cell, ...] = tuple(
            dict.fromkeys(cell for objective in self.objectives for cell in objective.cells)
        )
        wanted: dict[str, tuple[str, ...]] = {}
        for suite, task in self.cells:
            wanted[suite] = (*wanted.get(suite, ()), task)
        self.study = replace(
            study,
            name=searched(study.name),
            suites={name: replace(study.suites[name], tasks=found) for name, found in wanted.items()},
            references=(),
            factors=dict.fromkeys(self.search.space, ()),
        )
        self._origin = study
        self._digests: dict[Path, str] = {}

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The training seeds of every trial: those of the baseline."""
        baseline = next(one for one in self._origin.variants if one.label == self._origin.baseline)
        return tuple(recipe.seed for recipe in baseline.recipes)

    @cached_property
    def base(self) -> Recipe:
        """The recipe where the search starts."""
        return resolve_point(self.study.recipe, {})

    def identity(self) -> Identity:
        """Return what makes this search another one than those before it.

        The cells of the recipe where it starts stand for all that points do not say: recipe, data,
        models, evaluators, versions.
        """
        plan = self.plan({})
        definition = {
            "space": to_plain(self.search.space),
            "objectives": to_plain(self.search.objectives),
            "sampler": to_plain(self.search.sampler),
            "pruner": to_plain(self.search.pruner),
            "cells": sorted(
                name for row in plan.rows for one in row.members for name in one.evaluations.values()
            ),
        }
        return Identity(
            study=self._origin.name,
            name=f"{self._origin.name}-{fingerprint(definition)[:12]}",
            definition=definition,
        )

    def variant(self, point: Point, *, seeds: Sequence[int] | None = None) -> Variant:
        """Return a point as a variant.

        Raises:
            HarnessError: If the settings contradict each other.
        """
        levels = {name: level_name(point[name]) if name in point else "-" for name in self.search.space}
        label = ", ".join(f"{name}={level}" for name, level in levels.items())
        try:
            recipe = resolve_point(self.study.recipe, overrides_of(self.search.space, point))
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            raise HarnessError(
                f"no recipe holds at {label}: {reason}",
                cure="give a parameter a `when`, so that it is set only where it fits",
            ) from None
        recipes = tuple(replace(recipe, seed=seed) for seed in (seeds or self.seeds))
        return Variant(label=label, levels=levels, recipes=recipes)

    def plan(self, point: Point, *, seeds: Sequence[int] | None = None) -> Plan:
        """Return the steps of a point: the objectives' cells and all that they need."""
        variants = (self.variant(point, seeds=seeds),)
        return compile_plan(replace(self.study, variants=variants), digests=self._digests)

    def has_scores(self, evaluations: Iterable[str]) -> bool:
        """Return whether all of some evaluations are there, by fingerprint."""
        return all(self.store.has("evaluate", name) for name in evaluations)

    def scored(self, plan: Plan, cell: Cell) -> tuple[SeedValue, ...]:
        """Return the score of one cell of a point, for each training seed.

        Raises:
            NoValueError: If a seed has none.
        """
        score = self.scores(plan)[cell]
        for place in range(len(score.measurements)):
            _score(cell, score, place)
        return score.per_seed

    def values(self, plan: Plan) -> Values:
        """Return the objectives of a point, from the artifacts of its plan.

        Raises:
            NoValueError: If a cell has no score, or an objective no value.
        """
        (row,) = plan.rows
        scores = self.scores(plan)
        by_seed = []
        for place, member in enumerate(row.members):
            measures = self._measures(plan, member)
            found = {cell: _score(cell, score, place) for cell, score in scores.items()}
            by_seed.append(tuple(_evaluate(one, found, measures) for one in self.objectives))
        values = tuple(statistics.fmean(column) for column in zip(*by_seed, strict=True))
        return Values(values=values, by_seed=tuple(by_seed))

    def scores(self, plan: Plan) -> dict[Cell, Score]:
        """Return the scores of a point as its table has them."""
        (row,) = plan.rows
        records = [
            score.to_record(variant=one.slug, revision=one.model, seed=one.seed, suite=suite)
            for one in row.members
            for (suite, _), name in one.evaluations.items()
            if self.store.has("evaluate", name)
            for score in read_scores(self.store.folder("evaluate", name) / SCORES_NAME)
        ]
        members = tuple(
            MemberSummary(slug=one.slug, revision=one.model, seed=one.seed) for one in row.members
        )
        summary = StudySummary(
            name=self.study.name,
            question="",
            factors={},
            baseline=None,
            rows=(RowSummary(label=row.label, levels={}, members=members),),
            suites=tuple(
                SuiteSummary(
                    name=name,
                    evaluator=suite.evaluator,
                    tasks=suite.tasks,
                    benchmark=suite.benchmark or "",
                )
                for name, suite in self.study.suites.items()
            ),
        )
        found = Scores(summary, records)
        return {cell: found.score(0, cell) for cell in found.tasks}

    def _measures(self, plan: Plan, member: Member) -> dict[str, float]:
        """Return a model's costs, as far as some objective reads them."""
        wanted = {name for objective in self.objectives for name in objective.measures}
        found: dict[str, float] = {}
        if "parameters" in wanted:
            step = plan.steps[member.model]
            found["parameters"] = float(count_trained(self.store.folder(step.stage, step.fingerprint)))
        if wanted & {"seconds", "gpu_hours"}:
            trained = [
                step
                for name in plan.lineage(member.model)
                if (step := plan.steps[name]).stage in TRAINING
            ]
            seconds = {one.fingerprint: self._seconds(one.stage, one.fingerprint) for one in trained}
            found["seconds"] = sum(seconds.values())
            found["gpu_hours"] = (
                sum(seconds[one.fingerprint] * one.resources.gpus for one in trained) / 3600
            )
        return found

    def _seconds(self, stage: str, name: str) -> float:
        record = self.store.find(stage, name)
        return 0.0 if record is None else record.wall_seconds


def _score(cell: Cell, score: Score, place: int) -> float:
    measured = score.measurements[place]
    if measured.value is None:
        raise NoValueError(f"{'/'.join(cell)}: {measured.reason or measured.state}")
    return measured.value


def _evaluate(
    objective: Expression, scores: Mapping[Cell, float], measures: Mapping[str, float]
) -> float:
    try:
        return objective.evaluate(scores.__getitem__, measures)
    except ZeroDivisionError:
        raise NoValueError(f"{objective.text} divides by 0") from None

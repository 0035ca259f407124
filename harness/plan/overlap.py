"""The plan that looks for a study's evaluation texts in what its variants are trained on.

Owns which pair sets are compared with which tasks: each set that some variant is trained on with each
task of the study, once. The rule: these steps are no part of a study's own plan, so that looking
changes no result; they are shared, cached and reused like all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.data.overlap_settings import Settings
from harness.identity.canonical import to_plain
from harness.plan.compile import Compiler
from harness.plan.graph import Plan
from harness.study import Recipe, Study
from harness.study.recipe import DataConfig
from harness.study.training_sets import declared_in_domain

PairSet = tuple[str, str]
"""Source and pair set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlapPlan:
    """The steps, and what they are about."""

    plan: Plan
    steps: Mapping[tuple[str, str], tuple[str, ...]]
    """(`<source>/<pair set>`, task) -> fingerprints of the steps that compare them: one, or more where
    suites count other parts of the task."""
    trained_on: Mapping[str, tuple[str, ...]]
    """Label of a row -> the pair sets that it is trained on."""
    in_domain: Mapping[str, tuple[str, ...]]
    """Pair set -> tasks that its source declares its own."""


def compile_overlap(study: Study, settings: Settings) -> OverlapPlan:
    """Return the plan of comparisons of a study; local files are read to find their SHA-256."""
    compiler = Compiler(study)
    used = {
        variant.label: sorted({one for recipe in variant.recipes for one in _pair_sets(recipe)})
        for variant in study.variants
    }
    tasks = list(compiler.scored_tasks.of(None))
    steps: dict[tuple[str, str], dict[str, None]] = {}
    compared = sorted({one for found in used.values() for one in found})
    for source, pairs in compared:
        ready = compiler.training_pairs(DataConfig(source=source, pairs=pairs))
        for one in tasks:
            config = {name: value for name, value in one.config.plain.items() if name != "lexical"}
            step = compiler.make(
                "overlap",
                {**config, "pairs": pairs, "settings": to_plain(settings)},
                label=f"{source}/{pairs} and {one.task}",
                inputs={"data": ready, **one.sources},
                bindings=one.bindings,
            )
            steps.setdefault((f"{source}/{pairs}", one.task), {})[step.fingerprint] = None
    return OverlapPlan(
        plan=Plan(study=study.name, steps=compiler.steps, rows=()),
        steps={key: tuple(names) for key, names in steps.items()},
        trained_on={label: tuple("/".join(one) for one in found) for label, found in used.items()},
        in_domain={
            "/".join(one): tuple(sorted(declared_in_domain(one[0], study.sources) or ()))
            for one in compared
        },
    )


def _pair_sets(recipe: Recipe) -> list[PairSet]:
    """Return what a recipe is trained on; a stage without steps trains on nothing."""
    found = []
    if recipe.pretraining.steps:
        weak = recipe.weak_data or recipe.data
        found.append((weak.source, weak.pairs))
    if recipe.reconstruction.steps or recipe.contrastive.steps:
        found.append((recipe.data.source, recipe.data.pairs))
    return found

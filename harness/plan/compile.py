"""A study to its plan.

Owns which steps a variant needs. The rule: a step's configuration holds what can change its output
and nothing more, so that variants share every step in which they do not differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.identity import file_sha256, tree_sha256
from harness.identity.canonical import to_plain
from harness.plan.bases import identify
from harness.plan.graph import Configuration, Member, Plan, PlanRow, Step, make_step
from harness.plan.names import base_name, instructed_name, model_name
from harness.plan.parts import Parts
from harness.plan.scored_tasks import ScoredTask, ScoredTasks
from harness.plan.sources import SourceSteps
from harness.study import Recipe, Study
from harness.study.document import Resources
from harness.study.recipe import (
    ContrastiveConfig,
    DataConfig,
    ModelConfig,
    PromptConfig,
    ReconstructionConfig,
)
from harness.study.sources import Wheel

UNTRAINED = "untrained"
BM25 = "BM25"


def compile_plan(study: Study, *, digests: dict[Path, str] | None = None) -> Plan:
    """Return the plan of a study.

    Local files that a study names are read to find their SHA-256, unless `digests` has it from earlier
    plans; it is added there. Nothing else is touched.
    """
    return Compiler(study, digests).compile()


@dataclass(frozen=True, slots=True)
class _Training:
    """One training stage: what its steps have in common whatever the model."""

    config: Configuration
    pairs: Step
    label: str


class Compiler:
    """The steps made so far for one study, and the parts that they share.

    Variants differ in little: what depends on a part of a recipe is made once for each value of it.
    """

    def __init__(self, study: Study, digests: dict[Path, str] | None = None) -> None:
        self._study = study
        self.steps: dict[str, Step] = {}
        self._made: dict[tuple[Any, ...], Step] = {}
        self._parts = Parts()
        self._content = {} if digests is None else digests
        self._trainings: dict[tuple[Any, ...], _Training] = {}
        self._scoring: dict[tuple[int, ...], tuple[str, list[ScoredTask]]] = {}
        plan = study.resources
        self._resources: defaultdict[str, Resources] = defaultdict(lambda: plan.prepare)
        self._resources.update(dict.fromkeys(("reconstruct", "contrast"), plan.train))
        self._resources.update(dict.fromkeys(("embed", "evaluate"), plan.evaluate))
        self._sources = SourceSteps(
            study, make=self.make, wheel=self._wheel, sha256=self._sha256, base=self._base
        )
        self.scored_tasks = ScoredTasks(
            study, self._parts, source=self._sources.make, sha256=self._sha256
        )

    def compile(self) -> Plan:
        """Return all steps of the study with its rows."""
        rows = []
        for variant in self._study.variants:
            members = tuple(self._member(recipe) for recipe in variant.recipes)
            label, levels = variant.label, variant.levels
            rows.append(PlanRow(label=label, levels=levels, is_reference=False, members=members))
        for reference in self._study.references:
            rows.extend(self._untrained_rows() if reference == "untrained" else [self._bm25_row()])
        return Plan(study=self._study.name, steps=self.steps, rows=tuple(rows))

    def make(
        self,
        stage: str,
        config: Mapping[str, Any] | Configuration,
        *,
        label: str,
        inputs: Mapping[str, Step] | None = None,
        bindings: Mapping[str, str] | None = None,
        after: tuple[str, ...] = (),
    ) -> Step:
        """Return the step with this stage, configuration and inputs, made once."""
        step = make_step(
            stage,
            config,
            label=label,
            resources=self._resources[stage],
            inputs=inputs,
            bindings=bindings,
            after=after,
        )
        # Equal steps are one step, in the place where it was needed first.
        return self.steps.setdefault(step.fingerprint, step)

    def _once(self, key: tuple[Any, ...], make: Callable[[], Step]) -> Step:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _wheel(self, wheel: Wheel) -> Step:
        return self.make("download", to_plain(wheel), label=f"{wheel.name} {wheel.version}")

    def training_pairs(self, data: DataConfig) -> Step:
        """Return the step that makes a pair set ready for training."""
        key = ("pairs", data.source, data.pairs)
        return self._once(key, lambda: self._sources.make_training(data.source, data.pairs))

    def _sha256(self, path: Path) -> str:
        if path not in self._content:
            self._content[path] = tree_sha256(path) if path.is_dir() else file_sha256(path)
        return self._content[path]

    def _base(self, model: ModelConfig, prompts: PromptConfig) -> Step:
        key = ("base", id(model), id(prompts))
        if (made := self._made.get(key)) is None:
            made = self._make_base(model, prompts)
            self._made["base", *self._parts.key_of(model, prompts)] = made
        return made

    def _make_base(self, model: ModelConfig, prompts: PromptConfig) -> Step:
        base = self._study.bases[model.base]
        checkpoint = identify(base, self._study, self._sha256)
        config = {
            # The study's own name of the base is no part of what the base is.
            "model": {**to_plain(model), "base": base_name(base)},
            "prompts": self._parts.of_prompts(prompts)[0],
            "checkpoint": checkpoint.identity,
        }
        inputs = {"wheel": self._wheel(base.wheel)} if base.wheel is not None else {}
        label = model_name(base, model)
        return self.make("base", config, label=label, inputs=inputs, bindings=checkpoint.bindings)

    def _trained(self, recipe: Recipe) -> Step:
        step = self._base(recipe.model, recipe.prompts)
        weak = recipe.weak_data or recipe.data
        for stage, settings, data in (
            ("contrast", recipe.pretraining, weak),
            ("reconstruct", recipe.reconstruction, recipe.data),
            ("contrast", recipe.contrastive, recipe.data),
        ):
            if settings.steps:
                step = self._stage(step, stage, settings, data, recipe)
        return step

    def _stage(
        self,
        model: Step,
        stage: str,
        settings: ContrastiveConfig | ReconstructionConfig,
        data: DataConfig,
        recipe: Recipe,
    ) -> Step:
        seed = recipe.seed if settings.seed is None else settings.seed
        key = (stage, id(settings), id(data), id(recipe.prompts), seed)
        if (training := self._trainings.get(key)) is None:
            training = self._trainings[key] = _Training(
                config=self._parts.training(stage, settings, data, prompts=recipe.prompts, seed=seed),
                pairs=self.training_pairs(data),
                label=f"{data.source}/{data.pairs}, seed {seed}",
            )
        place = (model.fingerprint, id(training))
        if (made := self._made.get(place)) is None:
            inputs = {"model": model, "source": training.pairs}
            made = self.make(stage, training.config, label=training.label, inputs=inputs)
            self._made[place] = made
        return made

    def _member(self, recipe: Recipe) -> Member:
        model = self._trained(recipe)
        return self._scored(model, recipe, seed=recipe.seed if model.stage != "base" else None)

    def _scored(self, model: Step, recipe: Recipe, *, seed: int | None) -> Member:
        prefix, tasks = self._scoring_of(recipe.model, recipe.prompts)
        slug = f"{prefix}-{model.fingerprint[:12]}"
        evaluations = self._evaluations(tasks, {"model": model}, slug)
        return Member(slug=slug, model=model.fingerprint, seed=seed, evaluations=evaluations)

    def _scoring_of(self, model: ModelConfig, prompts: PromptConfig) -> tuple[str, list[ScoredTask]]:
        """Return the first part of the name under which models are scored, and the tasks."""
        if (known := self._scoring.get((id(model), id(prompts)))) is not None:
            return known
        prefix = instructed_name(self._study.bases[model.base], model, prompts)
        key = self._parts.key_of(model, prompts)
        return self._scoring.setdefault(key, (prefix, list(self.scored_tasks.of(prompts))))

    def _evaluations(
        self, tasks: Iterable[ScoredTask], inputs: Mapping[str, Step], slug: str
    ) -> dict[tuple[str, str], str]:
        return {(one.suite, one.task): self._evaluation(one, inputs, slug).fingerprint for one in tasks}

    def _evaluation(self, task: ScoredTask, inputs: Mapping[str, Step], slug: str) -> Step:
        inputs = {**inputs, **task.sources}
        bindings = {"slug": slug, **task.bindings}
        label = f"{slug} on {task.task}"
        shards: tuple[str, ...] = ()
        for number, config in enumerate(task.parts, start=1):
            part = f"{label}, corpus part {number}"
            step = self.make("embed", config, label=part, inputs=inputs, bindings=bindings)
            shards = (*shards, step.fingerprint)
        return self.make(
            "evaluate", task.config, label=label, inputs=inputs, bindings=bindings, after=shards
        )

    def _untrained_rows(self) -> list[PlanRow]:
        rows: dict[str, PlanRow] = {}
        for variant in self._study.variants:
            recipe = variant.recipes[0]
            base = self._base(recipe.model, recipe.prompts)
            if base.fingerprint not in rows:
                member = self._scored(base, recipe, seed=None)
                rows[base.fingerprint] = PlanRow(
                    label=f"{UNTRAINED} {base.label}", levels={}, is_reference=True, members=(member,)
                )
        if len(rows) == 1:
            (row,) = rows.values()
            return [PlanRow(label=UNTRAINED, levels={}, is_reference=True, members=row.members)]
        return list(rows.values())

    def _bm25_row(self) -> PlanRow:
        evaluations = self._evaluations(self.scored_tasks.of(None), {}, "bm25")
        member = Member(slug="bm25", model="", seed=None, evaluations=evaluations)
        return PlanRow(label=BM25, levels={}, is_reference=True, members=(member,))

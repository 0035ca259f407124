"""Studies that a search leaves: its best configuration, and the questions around it.

Owns their YAML. The rule: what is written is an ordinary study, checked by the same loader, which scores
on the final suites too; it may lie anywhere, since the paths in it are written anew.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from optuna.trial import FrozenTrial

from harness.search.cells import Cells
from harness.study import load_study
from harness.study.profiles import apply_profile
from harness.study.source_text import read_source
from harness.study.space import overridden, overrides_of
from harness.study.task_prompts import MTEB, NONE, prompt_files

_DROPPED = ("search", "factors", "design", "baseline", "replicates", "profiles", "comparisons")


def write_best(cells: Cells, trial: FrozenTrial, path: Path, *, profile: str | None) -> Path:
    """Write the study of one trial's configuration, for `harness run`."""
    data = _common(cells, path, profile)
    name = cells.study.name.removesuffix("-search")
    data["name"] = f"{name}-best"
    data["question"] = f"What does the best of {name}'s trials score on the final suites?"
    data["recipe"] = overridden(data["recipe"], overrides_of(cells.search.space, trial.params))
    return _write(data, path)


def write_around(cells: Cells, trial: FrozenTrial, path: Path, *, profile: str | None) -> Path:
    """Write the leave-one-out study: the winner, and the winner less each of its choices.

    A choice is undone by what the recipe had before the search; one that the recipe had already is left
    out, since there is nothing to undo.
    """
    data = _common(cells, path, profile)
    name = cells.study.name.removesuffix("-search")
    data["name"] = f"{name}-around-best"
    data["question"] = f"Which of the choices of {name}'s best trial matter?"
    factors: dict[str, Any] = {}
    before = cells.base
    for parameter, value in trial.params.items():
        overrides = overrides_of(cells.search.space, {parameter: value})
        undone = {path: _field(before, path) for path in overrides}
        if overrides and undone != overrides:
            factors[_factor_name(parameter)] = {"best": overrides, "undone": undone}
    data["factors"] = factors
    data["design"] = "one-at-a-time"
    data["baseline"] = dict.fromkeys(factors, "best")
    data["seeds"] = sorted({*cells.seeds, *cells.search.noise_seeds})
    return _write(data, path)


def _common(cells: Cells, path: Path, profile: str | None) -> dict[str, Any]:
    """Return the study's other fields, the profile applied and paths relative to `path`."""
    source = apply_profile(read_source(cells.study.path), profile)
    data = {name: value for name, value in source.data.items() if name not in _DROPPED}
    move = _mover(cells.study.path.parent.resolve(), path.parent.resolve())
    data["bases"] = {name: _move_base(base, move) for name, base in data["bases"].items()}
    for section, field in (("sources", "path"), ("suites", "folder")):
        data[section] = {
            name: {**one, field: move(one[field])} if one.get(field) else one
            for name, one in data[section].items()
        }
    recipe = dict(cells.study.recipe)
    prompts = recipe.get("prompts", {})
    if prompts.get("tasks") not in {None, NONE, MTEB, *prompt_files()}:
        recipe["prompts"] = {**prompts, "tasks": move(prompts["tasks"])}
    data["recipe"] = recipe
    if data.get("mirrors"):
        data["mirrors"] = [move(mirror) for mirror in data["mirrors"]]
    return data


def _move_base(base: Mapping[str, Any], move: Any) -> dict[str, Any]:
    fields = ("path",) if base.get("wheel") else ("path", "gguf")
    return {name: move(value) if name in fields and value else value for name, value in base.items()}


def _mover(old: Path, new: Path) -> Any:
    def move(path: str) -> str:
        return os.path.relpath(old / path, new)

    return move


def _factor_name(parameter: str) -> str:
    # A name that is a field's path would be taken for a list of that field's values.
    return parameter.replace(".", "-")


def _field(recipe: Any, path: str) -> Any:
    for part in path.split("."):
        recipe = getattr(recipe, part)
    return list(recipe) if isinstance(recipe, tuple) else recipe


def _write(data: dict[str, Any], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    first = [name for name in ("name", "question") if name in data]
    ordered = {name: data[name] for name in [*first, *(key for key in data if key not in first)]}
    text = yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=100)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    aside.write_text(text, encoding="utf-8")
    try:
        load_study(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path

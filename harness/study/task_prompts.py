"""The instruction of a task, out of a versioned file.

Owns the reading of such files: the ones of this project (`harness/evaluation/prompts/*.yaml`) and a
user's own. The rule: a file is never changed once it is used, a new wording is a new version; and a task
takes from it the texts of its own sides and nothing else, so that another task's wording is none of its
identity. `mteb` stands for the texts in mteb's own task metadata, which are read where mteb is loaded.
How an instruction becomes a prefix is left to `PromptConfig`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.errors import StudyError, did_you_mean
from harness.study.catalogue import task_types

NONE = "none"
MTEB = "mteb"

Side = Literal["query", "document", "text"]
_SEARCH_TYPES = frozenset({"Retrieval", "Reranking", "InstructionRetrieval", "InstructionReranking"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFile:
    """Instructions by task, and by task type for tasks that are not named."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    tasks: dict[str, dict[Side, str]] = field(default_factory=dict)
    """Task -> side -> instruction. Queries and documents where a task searches, `text` elsewhere."""
    types: dict[str, dict[Side, str]] = field(default_factory=dict)
    """The same by mteb's task type."""

    def of_task(self, task: str, task_type: str) -> dict[str, str]:
        """Return side -> instruction of one task, for the sides that it has."""
        sides = ("query", "document") if task_type in _SEARCH_TYPES else ("text",)
        found = self.tasks.get(task, self.types.get(task_type, {}))
        return {side: found[side] for side in sides if side in found}


def prompt_files() -> list[str]:
    """Return the names of this project's files, and of what needs none."""
    folder = resources.files("harness").joinpath("evaluation", "prompts")
    names = (path.name for path in folder.iterdir())
    return [NONE, MTEB, *sorted(name[:-5] for name in names if name.endswith(".yaml"))]


def read_prompts(name: str, *, folder: Path) -> PromptFile | None:
    """Return the instructions that a study names.

    Args:
        name: `none`, `mteb`, a file of this project, or the path of a YAML file.
        folder: What a path is relative to.

    Returns:
        None for `none` and for `mteb`, which hold no texts here.

    Raises:
        StudyError: If there is no such file, or it is not one of prompts.
    """
    if name in {NONE, MTEB}:
        return None
    if name in prompt_files():
        own = resources.files("harness").joinpath("evaluation", "prompts", f"{name}.yaml")
        return _parse(own.read_text(encoding="utf-8"), name)
    path = folder / name
    if not path.is_file():
        names = prompt_files()
        raise StudyError(
            f"no prompts {name!r}.{did_you_mean(name, names)}",
            cure=f"one of {', '.join(names)}, or a YAML file relative to the study file",
        )
    try:
        return _parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: cannot be read: {error}") from error


@cache
def _parse(text: str, place: str) -> PromptFile:
    try:
        prompts = TypeAdapter(PromptFile).validate_python(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise StudyError(f"{place}: not YAML: {error}") from error
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise StudyError(
            f"{place}: {where}: {fault['msg']}",
            cure="`tasks` and `types` hold name -> side (query, document, text) -> instruction",
        ) from None
    _check_names(prompts.tasks, task_types(), f"{place}: no task")
    _check_names(prompts.types, set(task_types().values()), f"{place}: no task type")
    return prompts


def _check_names(named: Mapping[str, object], known: Mapping[str, str] | set[str], said: str) -> None:
    for name in named:
        if name not in known:
            raise StudyError(f"{said} {name!r}.{did_you_mean(name, known)}")

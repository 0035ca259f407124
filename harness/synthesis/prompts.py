"""Prompt files: what a model is asked, by kind and step.

Owns the reading and filling of templates. The rule: a file is checked whole before anything is asked,
its version and SHA-256 go into the provenance, and what a model wrote enters a prompt only as quoted
text.
"""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import Field

from harness.errors import StudyError
from harness.study.recipe import STRICT
from harness.study.source_text import SourceText, read_source
from harness.study.validation import validate
from harness.synthesis.kinds import KINDS
from harness.synthesis.languages import languages

Text = Annotated[str, Field(min_length=1)]
_ALWAYS = ("language", "cue")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptDocument:
    """The fields of a prompt file."""

    __pydantic_config__ = STRICT

    version: Text
    brainstorm: dict[str, Text]
    """Kind with tasks -> what is asked in the first step; `$num_tasks` is filled in."""
    example: dict[str, Text]
    """Kind -> what is asked for one example; the kind's placeholders, `$language` and `$cue` are filled
    in, `$task` where the kind has tasks, `$target_language` for bitext."""
    instructions: dict[str, Text]
    """Kind without tasks -> the instruction of its training pairs."""
    cues: dict[str, Text]
    """Language -> a sentence that stands for `$cue`; where there is none, nothing does."""
    openings: dict[str, tuple[Text, ...]]
    """Language -> words that texts may begin with, to which a `bounded` backend holds the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """A checked prompt file."""

    document: PromptDocument
    sha256: str
    """Of the file's bytes."""

    def brainstorm(self, kind: str, *, num_tasks: int) -> str:
        """Return what is asked in the first step."""
        return _fill(self.document.brainstorm[kind], {"num_tasks": str(num_tasks)})

    def example(
        self,
        kind: str,
        *,
        values: Mapping[str, str],
        language: str,
        target: str | None,
        task: str | None,
    ) -> str:
        """Return what is asked for one example.

        Args:
            kind: The kind of task.
            values: The draw's values of the kind's placeholders.
            language: Code of the language.
            target: Code of the second language, for bitext.
            task: The brainstormed task, where the kind has tasks; it is quoted.
        """
        filled = dict(values)
        filled["language"] = languages()[language].name
        # The cue speaks of the language of most texts.
        filled["cue"] = self.document.cues.get(target or language, "")
        if target is not None:
            filled["target_language"] = languages()[target].name
        if task is not None:
            filled["task"] = json.dumps(task, ensure_ascii=False)
        return _fill(self.document.example[kind], filled)


def _fill(template: str, values: Mapping[str, str]) -> str:
    return string.Template(template).substitute(values).strip()


def read_prompts(name: str, *, folder: Path) -> Prompts:
    """Read a prompt file of this project (`v1`, `v1-brief`), or one of the user's.

    Args:
        name: Its name, or a path that ends in `.yaml`, relative to `folder`.
        folder: Folder of the file that names it.

    Raises:
        StudyError: With file, line and field of what is wrong.
    """
    if name.endswith((".yaml", ".yml")):
        path = folder / name
    else:
        own = Path(str(resources.files("harness.synthesis").joinpath("prompts")))
        path = own / f"{name}.yaml"
        if not path.is_file():
            known = sorted(item.stem for item in own.glob("*.yaml"))
            raise StudyError(
                f"no prompts {name!r}", cure=f"there are {', '.join(known)}, or a YAML file"
            )
    source = read_source(path)
    document = validate(PromptDocument, source.data, source)
    _check(document, source)
    return Prompts(document=document, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def _check(document: PromptDocument, source: SourceText) -> None:
    asymmetric: set[str] = {kind.name for kind in KINDS.values() if kind.has_tasks}
    needed: dict[str, set[str]] = {
        "brainstorm": asymmetric,
        "example": set(KINDS),
        "instructions": set(KINDS) - asymmetric,
    }
    for section, kinds in needed.items():
        seen = set(getattr(document, section))
        if seen != kinds:
            raise source.error(
                (section,), f"needs {', '.join(sorted(kinds))}, not {', '.join(sorted(seen))}"
            )
    for section in ("cues", "openings"):
        for code in getattr(document, section):
            if code not in languages():
                raise source.error((section, code), f"no language {code!r}")
    for kind, template in document.brainstorm.items():
        _check_names(template, {"num_tasks"}, ("brainstorm", kind), source)
    for kind, template in document.example.items():
        allowed = {*KINDS[kind].values, *_ALWAYS}
        allowed |= {"task"} if KINDS[kind].has_tasks else set()
        allowed |= {"target_language"} if kind == "bitext" else set()
        _check_names(template, allowed, ("example", kind), source)


def _check_names(template: str, allowed: set[str], where: tuple[str, str], source: SourceText) -> None:
    parsed = string.Template(template)
    if not parsed.is_valid():
        raise source.error(where, "a `$` that is no placeholder", cure="write `$$` for a dollar sign")
    for name in parsed.get_identifiers():
        if name not in allowed:
            raise source.error(
                where, f"no placeholder ${name} here; there are: {', '.join(sorted(allowed))}"
            )

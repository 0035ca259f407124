"""The verbs of `harness`, and the group that loads the one that is called.

Owns their order, the module that each lies in, and the line by which the list of verbs tells it. The
rule: a call loads one verb, and the list of all loads none, so that what one of them needs never slows
another. The line is the first of the verb's own help, which a test compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

MARKUP: Final = "markdown"
"""How help texts are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """What is known of a verb before its module is loaded."""

    summary: str
    module: str = ""
    """Within `harness.cli`, with a `command` or an `app` of several; the verb's own name when empty."""
    reader: str | None = None
    """Class of the module that reads the command's words, where it is not typer's."""


VERBS: Mapping[str, Verb] = {
    "plan": Verb(
        summary="Show the steps of a study with their state (run, reuse, wait) and the reason, and what "
        "they cost."
    ),
    "run": Verb(
        summary="Train and score every variant of a study that is not done yet; write tables and a page."
    ),
    "submit": Verb(
        summary="Check a study here, run it on a Ray cluster, and return at once with the submission's "
        "id."
    ),
    "status": Verb(
        summary="Show which steps are done, running, waiting, failed, cancelled or interrupted, and the "
        "time left."
    ),
    "logs": Verb(summary="Print what a step has said in all its tries, and follow what it says now."),
    "cancel": Verb(
        summary="Ask the runs under way to cancel a study with its search, or one step with all that "
        "needs it."
    ),
    "retry": Verb(
        summary="Try failed steps of a study again, and what waits for them, as if they had never "
        "failed.",
        reader="WithBareFailed",
    ),
    "gc": Verb(
        summary="Remove artifacts and leftovers that no study of the store needs; sizes are shown first."
    ),
    "tables": Verb(summary="Print a table, made from records alone; needs no model and no data."),
    "compare": Verb(
        summary="Say how B differs from A: by task with interval and mark, over all tasks, and in which "
        "fields."
    ),
    "import": Verb(
        summary="Read result files into records: mteb's, of any age, or TREC and BEIR runs with their "
        "judgements.",
        module="import_",
    ),
    "report": Verb(
        summary="Write a study's table as Markdown, CSV, LaTeX, JSON and HTML, and its page."
    ),
    "search": Verb(
        summary="Run the trials of a study's `search` section up to their number; write a page and the "
        "best study."
    ),
    "publish": Verb(
        summary="Copy a study's records to results/STUDY and write its tables and page to reports/STUDY."
    ),
    "verify": Verb(
        summary="Rebuild the tables and pages under reports/ from results/ and compare them, cell by "
        "cell."
    ),
    "evaluate": Verb(summary="Evaluate a model on mteb tasks; the scores are those of plain mteb."),
    "prefetch": Verb(
        summary="Bring the datasets and base checkpoints that a study reads from the hub into a mirror."
    ),
    "synthesize": Verb(
        summary="Have a language model write training data, by the two-step method of E5-mistral."
    ),
    "doctor": Verb(
        summary="Tell what a model is, and run every probe on it: those that guard training and scores."
    ),
    "schema": Verb(
        summary="Print the JSON Schema of study files, for editors that check YAML while you type."
    ),
    "data": Verb(
        summary="What there is to train on, what lies in a mirror, and whether it is what it was."
    ),
}


class Verbs(TyperGroup):
    """The group of all verbs: stand-ins for the list of them, the verb itself for a call."""

    def __init__(self, **settings: Any) -> None:
        stand_ins = {name: TyperCommand(name, help=verb.summary) for name, verb in VERBS.items()}
        super().__init__(**{**settings, "commands": stand_ins})

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the verb that the first of the words calls, loaded, and the words after it."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load_verb(name), rest


def load_verb(name: str) -> Any:
    """Return the command, or the group of commands, of a verb."""
    verb = VERBS[name]
    module = import_module(f"harness.cli.{verb.module or name}")
    holder = typer.Typer(rich_markup_mode=MARKUP, pretty_exceptions_enable=False, add_completion=False)
    if hasattr(module, "app"):
        holder.add_typer(module.app, name=name)
        return get_command(holder).commands[name]  # type: ignore[attr-defined]
    holder.command(name, cls=getattr(module, verb.reader) if verb.reader else None)(module.command)
    return get_command(holder)

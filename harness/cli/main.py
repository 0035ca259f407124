"""The `harness` command: its verbs, and errors as messages and exit codes.

Owns nothing but the wiring. Exit codes: 0 done, 1 some steps failed or something differs, 2 wrong use.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from harness import __version__
from harness.cli import (
    cancel,
    compare,
    data,
    doctor,
    evaluate,
    gc,
    import_,
    logs,
    plan,
    prefetch,
    publish,
    report,
    retry,
    run,
    schema,
    search,
    status,
    submit,
    synthesize,
    tables,
    verify,
)
from harness.errors import HarnessError

app = typer.Typer(
    name="harness",
    help="Benchmarking and ablation harness for LLM-based text embedders.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        sys.stdout.write(f"harness {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Benchmarking and ablation harness for LLM-based text embedders."""


for _name, _module in (
    ("plan", plan),
    ("run", run),
    ("submit", submit),
    ("status", status),
    ("logs", logs),
    ("cancel", cancel),
    ("retry", retry),
    ("gc", gc),
    ("tables", tables),
    ("compare", compare),
    ("import", import_),
    ("report", report),
    ("search", search),
    ("publish", publish),
    ("verify", verify),
    ("evaluate", evaluate),
    ("prefetch", prefetch),
    ("synthesize", synthesize),
    ("doctor", doctor),
    ("schema", schema),
):
    app.command(_name, cls=retry.WithBareFailed if _module is retry else None)(_module.command)
app.add_typer(data.app, name="data")


def main() -> None:
    """Run the command line; a user's mistake ends with a message and exit code 2."""
    try:
        app()
    except HarnessError as error:
        _tell(error.message, error.cure)
        sys.exit(2)
    except BrokenPipeError:
        # The reader of a pipe has seen enough; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.filename is None:
            raise
        cure = "what was finished is kept; mend this and run the same command again"
        _tell(f"{error.filename}: {error.strerror}", cure)
        sys.exit(2)


def _tell(message: str, cure: str) -> None:
    console = Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR")), highlight=False)
    console.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
    if cure:
        console.print(f"  {escape(cure)}", soft_wrap=True)

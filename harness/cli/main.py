"""The `harness` command: errors as messages and exit codes.

Owns nothing but the wiring; the verbs are listed in `verbs`. Exit codes: 0 done, 1 some steps failed or
something differs, 2 wrong use.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Annotated

import typer

from harness import __version__
from harness.cli.verbs import MARKUP, Verbs
from harness.errors import HarnessError

app = typer.Typer(
    name="harness",
    cls=Verbs,
    help="Benchmarking and ablation harness for LLM-based text embedders.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=MARKUP,
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


def main() -> None:
    """Run the command line; a user's mistake ends with a message and exit code 2."""
    try:
        app()
    except HarnessError as error:
        _tell(error.message, error.cure)
        sys.exit(error.exit_code)
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
    finally:
        # The memory goes with the process: Python would look through all of it for cycles once more.
        gc.freeze()


def _tell(message: str, cure: str) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR")), highlight=False)
    console.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
    if cure:
        console.print(f"  {escape(cure)}", soft_wrap=True)

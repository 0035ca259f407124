"""The display of a run: a live line for people, plain lines for logs and pipes.

Owns what is written on stderr while steps run.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from harness.plan import Step

_MARKS = {"done": "[green]done[/]", "failed": "[bold red]failed[/]", "skipped": "[yellow]skipped[/]"}
_REMARKS = {
    "elsewhere": "waiting for {step}: {message}",
    "retried": "trying {step} again: {message}",
    "paused": "{message}",
    "rebuilt": "making {step} anew: {message}",
}
"""Events after which a step has not ended."""


class RunDisplay:
    """Shows the steps of a run as they start and end. A context manager, and a progress callback.

    Args:
        num_steps: Steps of the plan, reused ones included.
        home: Folder of the store, named when a step fails.
    """

    def __init__(self, num_steps: int, *, home: str) -> None:
        # The stream of now: steps that run in this process redirect `sys.stderr` to their logs.
        self._console = Console(file=sys.stderr, highlight=False)
        self._home = home
        self._started: dict[str, float] = {}
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._all = self._progress.add_task("steps", total=num_steps)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def announce(self, line: str) -> None:
        """Say something between the steps."""
        self._progress.console.print(escape(line), soft_wrap=True)

    def __call__(self, event: str, step: Step, message: str) -> None:
        """Take one event of the runner."""
        if event == "started":
            self._started[step.fingerprint] = time.monotonic()
            description = escape(f"{step.stage}: {step.label}")
            self._tasks[step.fingerprint] = self._progress.add_task(f"  {description}", total=None)
            return
        if event in _REMARKS:
            if (task := self._tasks.pop(step.fingerprint, None)) is not None:
                self._progress.remove_task(task)
            first = message.splitlines()[0] if message else ""
            self.announce(_REMARKS[event].format(step=f"{step.name} {step.label}", message=first))
            return
        self._progress.advance(self._all)
        if (task := self._tasks.pop(step.fingerprint, None)) is not None:
            self._progress.remove_task(task)
        if event in _MARKS:
            started = self._started.get(step.fingerprint)
            seconds = "" if started is None else f" {time.monotonic() - started:.0f} s"
            line = f"{_MARKS[event]} {escape(step.name)} {escape(step.label)}{seconds}"
            self._progress.console.print(line, soft_wrap=True)
        if event in {"failed", "skipped"}:
            self._progress.console.print(f"  {escape(message)}", soft_wrap=True)
        if event == "failed":
            log = f"{self._home}/logs/{step.stage}-{step.fingerprint}.log"
            self._progress.console.print(f"  log: {escape(log)}", soft_wrap=True)

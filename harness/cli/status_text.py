"""How far a study has come, as text: a table by stage, what runs, and what failed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.live import Live
from rich.text import Text

from harness.execution.overview import STATES, Overview, StepStatus
from harness.execution.runs import Run
from harness.execution.store import ArtifactStore
from harness.plan.ranges import Range

_MAX_ROWS = 20
_QUERY = "index,utilization.gpu,memory.used,memory.total"


def render(overview: Overview, store: ArtifactStore) -> str:
    """Return an overview as text, each line ended."""
    lines = [*_stages(overview), "", *_running(overview), *_silent(overview)]
    lines += _ended_badly(overview, store)
    counts = ", ".join(f"{count} {state}" for state, count in overview.counts.items() if count)
    lines += [counts or "no steps", *_runs(overview)]
    return "\n".join(lines) + "\n"


def show_studies(overviews: Sequence[Overview]) -> None:
    """Print one line a study."""
    if not overviews:
        sys.stderr.write("no study has run on this store\n")
    for one in overviews:
        counts = ", ".join(f"{count} {state}" for state, count in one.counts.items() if count)
        name = f"{one.plan.study} ({one.plan.profile})" if one.plan.profile else one.plan.study
        runs = f"; {len(one.runs)} runs under way" if one.runs else ""
        sys.stdout.write(f"{name:<24} {counts}{runs}\n")


def watch(look: Callable[[], Overview], store: ArtifactStore, *, pause: Callable[[], None]) -> None:
    """Show an overview again and again, in place, until its run has ended, or until Ctrl-C.

    A run that has not begun is waited for, unless nothing is left to do.
    """
    console = Console(highlight=False)
    has_run = False
    with Live(console=console, auto_refresh=False) as live:
        try:
            while True:
                overview = look()
                live.update(Text(render(overview, store).rstrip("\n")), refresh=True)
                is_over = has_run or overview.counts["done"] == len(overview.steps)
                if is_over and not overview.runs:
                    return
                has_run = has_run or bool(overview.runs)
                pause()
        except KeyboardInterrupt:
            return


def _stages(overview: Overview) -> list[str]:
    shown = [state for state in STATES if overview.counts[state]]
    rows = [("", *shown)]
    for stage, counts in overview.by_stage.items():
        rows.append((stage, *(str(counts[state] or "") for state in shown)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _running(overview: Overview) -> list[str]:
    running = [one for one in overview.steps if one.state == "running"]
    lines = []
    for one in running[:_MAX_ROWS]:
        since = "" if one.seconds is None else f"  for {duration(one.seconds)}"
        lines.append(f"running      {one.step.name}  {one.step.label}{since}, on {one.where}")
    return [*lines, *_more(running)]


def _silent(overview: Overview) -> list[str]:
    lines = []
    for one in overview.silent:
        since = f"{one.since:%Y-%m-%d %H:%M:%S} UTC"
        ago = duration((overview.looked - one.since).total_seconds())
        held = ", ".join(one.holds[:_MAX_ROWS])
        more = f" and {len(one.holds) - _MAX_ROWS} more" if len(one.holds) > _MAX_ROWS else ""
        lines.append(
            f"silent       {one.where}: not heard of since {since}, {ago} ago; has {held}{more}"
        )
    if lines:
        lines.append(f"{'':<12} if it is gone: `harness run` waits a minute for it and takes over")
    return lines


def _ended_badly(overview: Overview, store: ArtifactStore) -> list[str]:
    found = [
        one for one in overview.steps if one.state in {"failed", "preempted", "cancelled", "interrupted"}
    ]
    lines = []
    for one in found[:_MAX_ROWS]:
        lines.append(f"{one.state:<12} {one.step.name}  {one.step.label}")
        if one.message:
            kind = f"{one.failure}: " if one.failure else ""
            lines.append(f"{'':<12} {kind}{one.message.splitlines()[0]}")
        if one.state == "failed":
            log = store.location.describe(f"logs/{one.step.stage}-{one.step.fingerprint}.log")
            lines.append(f"{'':<12} log: {log}")
    return [*lines, *_more(found)]


def _more(rows: Sequence[StepStatus]) -> list[str]:
    return (
        [f"{'':<12} and {len(rows) - _MAX_ROWS} more: --json lists them"]
        if len(rows) > _MAX_ROWS
        else []
    )


def _runs(overview: Overview) -> list[str]:
    left = "" if overview.remaining is None else f"about {_span(overview.remaining)} left"
    if not overview.runs:
        open_steps = len(overview.steps) - overview.counts["done"]
        if not open_steps:
            return []
        alone = f", {left} on one device" if left else ""
        return [f"no run is under way: `harness run` goes on{alone}"]
    lines = [_run(run) for run in overview.runs]
    taken, there = overview.num_gpus
    if there not in {0.0, float("inf")}:
        lines.append(f"GPUs: {taken:g} of {there:g} taken by steps that run")
    return [*lines, *gpu_lines(), *([left] if left else [])]


def _run(run: Run) -> str:
    priority = f", priority {run.priority}" if run.priority else ""
    return f"run on {run.where}, since {run.started}{priority}"


def gpu_lines() -> list[str]:
    """Return a line for each GPU of this machine, as `nvidia-smi` tells; none where there is none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    asked = [tool, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = []
    for row in done.stdout.splitlines() if done.returncode == 0 else []:
        index, busy, used, total = (cell.strip() for cell in row.split(","))
        lines.append(f"GPU {index} here: {busy}% busy, {used} of {total} MiB")
    return lines


def _span(seconds: Range) -> str:
    low, high = duration(seconds.low), duration(seconds.high)
    return low if low == high else f"{low} to {high}"


def duration(seconds: float) -> str:
    """Return a duration for people, to two digits or so."""
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"

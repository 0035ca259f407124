"""A light stage for workers in other processes: it counts its runs in a file and misbehaves to order.

`STUB_FOLDER` names a folder with `orders.json` (name of a step -> what it does in its first, second, ...
run; well when the list is over) and `runs` (a line for each run). A worker process learns of the stage
through `sitecustomize`, which `install_in` writes.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

from harness.errors import DataError, NonFiniteError
from harness.plan import Step
from harness.plan.graph import make_step
from harness.stages import STAGES, StepContext
from harness.study.document import Resources

FOLDER = "STUB_FOLDER"


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@dataclass
class StubStage:
    """The stage."""

    name: str = "stub"
    version: int = 1

    def run(self, context: StepContext) -> None:
        name = context.config["name"]
        follow_orders(name)
        parts = sorted((folder / "text").read_text() for folder in context.inputs.values())
        (context.output / "text").write_text(f"{name}({','.join(parts)})")


def follow_orders(name: str) -> None:
    """Count a run of a step, and do what was ordered for it."""
    folder = Path(os.environ[FOLDER])
    orders = (
        json.loads((folder / "orders.json").read_text()) if (folder / "orders.json").exists() else {}
    )
    with (folder / "runs").open("a") as file:
        file.write(f"{name}\n")
    order = orders.get(name, [])[runs(folder)[name] - 1 :][:1]
    if order:
        _DEEDS[order[0]](folder, name)


def runs(folder: Path) -> Counter[str]:
    """Return how often each step ran."""
    path = folder / "runs"
    return Counter(path.read_text().split()) if path.exists() else Counter()


def note(name: str, text: str) -> None:
    """Leave a file in the stub's folder."""
    _tell(Path(os.environ[FOLDER]) / name, text)


def _hang(folder: Path, name: str) -> NoReturn:
    """Start a process and never end; both numbers are told."""
    child = subprocess.Popen(["sleep", "1000"])
    _tell(folder / f"hangs-{name}", f"{os.getpid()} {child.pid}")
    while True:
        time.sleep(1000)


def _wait(folder: Path, name: str) -> None:
    """Go on when a file is there."""
    _tell(folder / f"waits-{name}", str(os.getpid()))
    while not (folder / f"go-{name}").exists():
        time.sleep(0.005)


def _tell(path: Path, text: str) -> None:
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


def _signal(number: int) -> Callable[[Path, str], None]:
    def deed(folder: Path, name: str) -> None:
        os.kill(os.getpid(), number)
        time.sleep(1000)

    return deed


def _raise(error: Exception) -> Callable[[Path, str], None]:
    def deed(folder: Path, name: str) -> None:
        raise error

    return deed


_DEEDS: dict[str, Callable[[Path, str], None]] = {
    "well": lambda *_: None,
    "hang": _hang,
    "wait": _wait,
    "kill": _signal(signal.SIGKILL),
    "term": _signal(signal.SIGTERM),
    "exit": lambda *_: os._exit(3),
    "nan": _raise(NonFiniteError("loss is nan at step 3, on pairs [4, 7] (counted from 0)")),
    "full": _raise(OSError(errno.ENOSPC, "no space", "/full/disk")),
    "cuda": _raise(OutOfMemoryError("CUDA out of memory")),
    "memory": _raise(MemoryError("host")),
    "data": _raise(DataError("row 17 of /some/file.jsonl is no pair")),
    "error": _raise(RuntimeError("a shared bug at 0x7f00deadbeef")),
}


def install() -> None:
    """Make the stage known in this process."""
    cast("dict[str, Any]", STAGES)["stub"] = StubStage()


def install_in(folder: Path, setup: str = "tests.execution.stub") -> None:
    """Write what makes the stage known in processes that have `folder` on their import path."""
    code = f"import {setup}\n{setup}.install()\n"
    (folder / "sitecustomize.py").write_text(code)


def order(folder: Path, orders: Mapping[str, Sequence[str]]) -> None:
    """Say what steps do in their runs."""
    (folder / "orders.json").write_text(json.dumps(orders))


def stub_step(name: str, needs: Iterable[Step] = (), **resources: Any) -> Step:
    inputs = {f"input{index}": needed for index, needed in enumerate(needs)}
    return make_step("stub", {"name": name}, label=name, resources=Resources(**resources), inputs=inputs)

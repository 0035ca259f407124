"""Curves for TensorBoard, MLflow and Weights & Biases, through their own clients.

Owns what these are given. The rule: they only look on. A library that is missing is told before
anything runs; whatever else goes wrong with a tracker switches it off with one warning, and training
goes on. A run is named after its step and is one run however often it is resumed: no step is sent
twice, so what a client had not written yet when it was killed is missing there. `metrics.jsonl` lacks
nothing and is `curves`' affair.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

from filelock import FileLock

from harness.errors import HarnessError

TrackerName = Literal["tensorboard", "mlflow", "wandb"]

_EXPERIMENT = "harness"
_TAG = "harness.step"


class Client(Protocol):
    """One run at one service."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the numbers of a step."""

    def close(self) -> None:
        """Say that the run is done."""


def check_trackers(names: Sequence[TrackerName]) -> None:
    """Check that the trackers' libraries are there.

    Raises:
        HarnessError: Naming the first that is not.
    """
    for name in names:
        if find_spec(name) is None:
            raise HarnessError(
                f"`resources.train.trackers` names {name!r}, but its library is not installed",
                cure=f"pip install 'embedding-harness[{name}]'",
            )


class ServiceTracker:
    """A tracker that never stops what it watches, and that nothing is told twice.

    Args:
        name: Which service.
        folder: Files of this run, named after its step; those of other runs lie beside it.
        report: Takes the warning when it is switched off.
    """

    def __init__(self, name: TrackerName, *, folder: Path, report: Callable[[str], None]) -> None:
        self._name, self._folder, self._report = name, folder, report
        self._client: Client | None = None
        self._sent = folder / f"{name}-steps"

    def start(self, next_step: int) -> None:
        """Open the run, or go on with it; `next_step` may have been sent before."""
        self._guard(lambda: self._open(next_step))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the numbers of a step, unless they were sent before an interruption."""
        self._guard(lambda: self._send(step, values))

    def close(self) -> None:
        """End the run."""
        self._guard(lambda: self._client.close() if self._client is not None else None)

    def _open(self, next_step: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._client = _CLIENTS[self._name](self._folder, max(next_step, self._num_sent()))

    def _num_sent(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int(self._sent.read_text(encoding="utf-8"))
        return 0

    def _send(self, step: int, values: Mapping[str, float]) -> None:
        if self._client is None or step < self._num_sent():
            return
        self._client.log(step, values)
        self._sent.write_text(f"{step + 1}\n", encoding="utf-8")

    def _guard(self, act: Callable[[], None]) -> None:
        try:
            act()
        # Whatever a service's client raises must not cost a training run.
        except Exception as error:
            self._client = None
            self._report(f"warning: tracker {self._name} is off: {type(error).__name__}: {error}")


class _TensorBoard:
    """Event files in `tensorboard/`."""

    def __init__(self, folder: Path, next_step: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        # Hides what a killed run may have written about steps that come again.
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=next_step)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _MLflow:
    """A run at `MLFLOW_TRACKING_URI`, or in the database `mlflow.db` that all runs of a store share."""

    def __init__(self, folder: Path, next_step: int) -> None:  # noqa: ARG002
        from mlflow import MlflowClient
        from mlflow.entities import Metric

        self._metric = Metric
        database = folder.parent / "mlflow.db"
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{database.absolute()}"
        # Two steps that make the database or the experiment at once would get in each other's way.
        with FileLock(folder.parent / "mlflow.lock"):
            self._client = MlflowClient(tracking_uri=uri)
            found = self._client.get_experiment_by_name(_EXPERIMENT)
            experiment = found.experiment_id if found else self._client.create_experiment(_EXPERIMENT)
        runs = self._client.search_runs([experiment], f"tags.`{_TAG}` = '{folder.name}'", max_results=1)
        if runs:
            self._run = runs[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
        else:
            tags = {_TAG: folder.name}
            self._run = self._client.create_run(experiment, run_name=folder.name, tags=tags).info.run_id

    def log(self, step: int, values: Mapping[str, float]) -> None:
        metrics = [self._metric(name, value, _milliseconds(), step) for name, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def close(self) -> None:
        self._client.set_terminated(self._run)


class _WandB:
    """A run of project `WANDB_PROJECT`, or `harness`; `WANDB_MODE=offline` needs no network."""

    def __init__(self, folder: Path, next_step: int) -> None:  # noqa: ARG002
        import wandb

        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or _EXPERIMENT,
            id=folder.name,
            name=folder.name,
            dir=str(folder),
            resume="allow",
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        # With a step given, numbers would be held back until the next one comes.
        self._run.log(dict(values), step=step, commit=True)

    def close(self) -> None:
        self._run.finish()


def _milliseconds() -> int:
    return int(time.time() * 1000)


_CLIENTS: dict[TrackerName, Callable[[Path, int], Client]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _MLflow,
    "wandb": _WandB,
}

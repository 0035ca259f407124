"""Checkpoints of a training run that may be killed at any instant.

Owns their files. The rule: a checkpoint is written aside and renamed into place, carries a SHA-256 of
its tensors and the identity of its run, and is believed only if both are right; else the one before is
taken. It holds whole tensors however many ranks share them, so any number of ranks can go on from it.
No random state is kept: every draw of a step depends on the seed and the step's number. The newest two
are kept for going on. Each says which step was the best when it was written; where the stage is to leave
that one, its weights lie beside, without optimiser state, as long as a kept checkpoint or the run refers
to them. So a run that goes on knows what it knew then, and nothing that came after. All of it goes with
the step's scratch folder. Which step is best is `selection`'s affair.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from harness.identity import file_sha256
from harness.training.ranks import ONE_RANK, Ranks
from harness.training.shards import spread_like, whole_tensor

CHECKPOINTS = "checkpoints"
"""Folder of a run's checkpoints in its scratch folder."""
_KEPT = 2
_TENSORS, _STATE = "tensors.safetensors", "state.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best step of a run so far."""

    step: int
    """Steps that its weights have seen."""
    loss: float
    """Its loss on the held-out pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """Where a run goes on."""

    next_step: int = 0
    """The step to run next."""
    best: Best | None = None
    """The best step before it; None where none was measured."""


class CheckpointFolder:
    """The checkpoints of one run: the newest two, and the weights of its best step where they count.

    Args:
        folder: Where they lie; made where needed.
        identity: What the run is; a checkpoint of another run is not taken.
        ranks: The processes that train together; all call each method, the first one writes and decides.
        keeps_best: Whether the best step's weights are kept.
    """

    def __init__(
        self, folder: Path, *, identity: str, ranks: Ranks = ONE_RANK, keeps_best: bool = False
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._ranks = ranks
        self._keeps_best = keeps_best

    def save(
        self,
        parameters: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer | None,
        *,
        next_step: int,
        best: Best | None = None,
    ) -> None:
        """Write weights and, where given, optimiser state as they are before `next_step`.

        Args:
            parameters: What is trained, by name.
            optimizer: None for the last checkpoint of a run, from which nobody goes on training.
            next_step: The step that would come next.
            best: The best step so far.
        """
        tensors = self._gather(parameters, optimizer)
        if self._ranks.rank == 0:
            self._write(self._place(next_step), tensors, next_step=next_step, best=best)
            for old in self._newest_first()[_KEPT:]:
                shutil.rmtree(old)
            self._drop_best(best)

    def save_best(self, parameters: Mapping[str, nn.Parameter], best: Best) -> None:
        """Write the weights as those of the best step so far, where they count."""
        if not self._keeps_best:
            return
        tensors = self._gather(parameters, None)
        if self._ranks.rank == 0:
            self._write(self._best_place(best.step), tensors, next_step=best.step, best=best)
            self._drop_best(best)

    def load_best(self, parameters: Mapping[str, nn.Parameter], best: Best) -> None:
        """Load the weights that `save_best` wrote.

        Raises:
            ValueError: When they are damaged.
        """
        _, tensors = self._read(self._best_place(best.step), parameters)
        _load(tensors, parameters, None)

    def _gather(
        self, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer | None
    ) -> dict[str, torch.Tensor]:
        """Return whole tensors by kind and name on the first rank, nothing on the others."""
        tensors: dict[str, torch.Tensor] = {}
        for name, parameter in parameters.items():
            state = {} if optimizer is None else optimizer.state.get(parameter, {})
            for kind, value in {"weight": parameter.detach(), **state}.items():
                # All ranks take part in putting shards together, one tensor at a time.
                whole = whole_tensor(value)
                if self._ranks.rank == 0:
                    tensors[f"{kind}/{name}"] = whole.cpu().contiguous()
        return tensors

    def _write(
        self, final: Path, tensors: dict[str, torch.Tensor], *, next_step: int, best: Best | None
    ) -> None:
        aside = self._folder / f".aside-{final.name}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        save_file(tensors, aside / _TENSORS)
        state = {
            "identity": self._identity,
            "next_step": next_step,
            "best": None if best is None else asdict(best),
            "sha256": file_sha256(aside / _TENSORS),
        }
        (aside / _STATE).write_text(json.dumps(state) + "\n", encoding="utf-8")
        for path in (aside / _TENSORS, aside / _STATE, aside):
            _sync(path)
        shutil.rmtree(final, ignore_errors=True)
        aside.rename(final)
        _sync(self._folder)

    def _drop_best(self, best: Best | None) -> None:
        """Remove the weights of steps that are neither the best nor what a checkpoint refers to."""
        wanted = set() if best is None else {self._best_place(best.step)}
        for folder in self._newest_first():
            with contextlib.suppress(OSError, ValueError, KeyError):
                known = _best_of(_read_state(folder))
                wanted |= {self._best_place(known.step)} if known else set()
        for old in set(self._folder.glob("best-*")) - wanted:
            shutil.rmtree(old)

    def restore(
        self,
        parameters: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer | None,
        *,
        report: Callable[[str], None],
    ) -> Resumed:
        """Load the newest valid checkpoint into weights and, where given, optimiser.

        Returns:
            Where to go on: at step 0 when there is no valid checkpoint.
        """
        chosen = self._newest_valid(parameters, report) if self._ranks.rank == 0 else None
        mine = float("inf") if self._ranks.rank > 0 else 0 if chosen is None else chosen[0].next_step
        next_step = int(self._ranks.agree(mine))
        if next_step == 0:
            return Resumed()
        if chosen is None:
            # Checked by the first rank.
            place = self._place(next_step)
            chosen = _resumed(_read_state(place)), load_file(place / _TENSORS)
        resumed, tensors = chosen
        _load(tensors, parameters, optimizer)
        report(f"going on from step {next_step}")
        return resumed

    def _newest_valid(
        self, parameters: Mapping[str, nn.Parameter], report: Callable[[str], None]
    ) -> tuple[Resumed, dict[str, torch.Tensor]] | None:
        for folder in self._newest_first():
            try:
                state, tensors = self._read(folder, parameters)
                resumed = _resumed(state)
                if self._keeps_best and resumed.best is not None:
                    self._read(self._best_place(resumed.best.step), parameters)
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                report(f"checkpoint {folder.name} is not used: {error}")
            else:
                return resumed, tensors
        return None

    def _best_place(self, step: int) -> Path:
        return self._folder / f"best-{step:08d}"

    def _place(self, next_step: int) -> Path:
        return self._folder / f"step-{next_step:08d}"

    def _read(
        self, folder: Path, parameters: Mapping[str, nn.Parameter]
    ) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        state = _read_state(folder)
        if state["identity"] != self._identity:
            raise ValueError("it belongs to another run")
        if file_sha256(folder / _TENSORS) != state["sha256"]:
            raise ValueError("its tensors are damaged")
        tensors = load_file(folder / _TENSORS)
        for name, parameter in parameters.items():
            if tensors[f"weight/{name}"].shape != parameter.shape:
                raise ValueError(f"{name} has another shape")
        return state, tensors

    def _newest_first(self) -> list[Path]:
        return sorted(self._folder.glob("step-*"), reverse=True)


def _read_state(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    return state


def _best_of(state: Mapping[str, Any]) -> Best | None:
    return None if state["best"] is None else Best(**state["best"])


def _resumed(state: Mapping[str, Any]) -> Resumed:
    return Resumed(next_step=int(state["next_step"]), best=_best_of(state))


@torch.no_grad()
def _load(
    tensors: Mapping[str, torch.Tensor],
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer | None,
) -> None:
    by_name: dict[str, dict[str, torch.Tensor]] = {name: {} for name in parameters}
    for key, value in tensors.items():
        kind, name = key.split("/", 1)
        if name in by_name:
            by_name[name][kind] = value
    for name, parameter in parameters.items():
        values = by_name[name]
        parameter.copy_(spread_like(parameter, values.pop("weight")))
        if optimizer is not None and values:
            # The step count stays on the CPU, as AdamW keeps it; the moments go with the weight.
            optimizer.state[parameter] = {
                kind: value if kind == "step" else spread_like(parameter, value)
                for kind, value in values.items()
            }


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

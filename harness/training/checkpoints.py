"""Checkpoints of a training run that may be killed at any instant.

Owns their files. The rule: a checkpoint is written aside and renamed into place, carries a SHA-256 of
its tensors and the identity of its run, and is believed only if both are right; else the one before is
taken. It holds whole tensors however many ranks share them, so any number of ranks can go on from it.
No random state is kept: every draw of a step depends on the seed and the step's number. The newest two
are kept for going on, and all go with the step's scratch folder; there is no "best" one, since a stage
has no measure of its own but its training loss, and the last step is what a stage leaves.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from harness.identity import file_sha256
from harness.training.ranks import ONE_RANK, Ranks
from harness.training.shards import spread_like, whole_tensor

_KEPT = 2
_TENSORS, _STATE = "tensors.safetensors", "state.json"


class CheckpointFolder:
    """The checkpoints of one run, the newest two of them.

    Args:
        folder: Where they lie; made where needed.
        identity: What the run is; a checkpoint of another run is not taken.
        ranks: The processes that train together; all call each method, the first one writes and decides.
    """

    def __init__(self, folder: Path, *, identity: str, ranks: Ranks = ONE_RANK) -> None:
        self._folder = folder
        self._identity = identity
        self._ranks = ranks

    def save(
        self,
        parameters: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer | None,
        *,
        next_step: int,
    ) -> None:
        """Write weights and, where given, optimiser state as they are before `next_step`."""
        tensors: dict[str, torch.Tensor] = {}
        for name, parameter in parameters.items():
            state = {} if optimizer is None else optimizer.state.get(parameter, {})
            for kind, value in {"weight": parameter.detach(), **state}.items():
                # All ranks take part in putting shards together, one tensor at a time.
                whole = whole_tensor(value)
                if self._ranks.rank == 0:
                    tensors[f"{kind}/{name}"] = whole.cpu().contiguous()
        if self._ranks.rank == 0:
            self._write(tensors, next_step=next_step)

    def _write(self, tensors: dict[str, torch.Tensor], *, next_step: int) -> None:
        aside = self._folder / f".aside-{next_step}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        save_file(tensors, aside / _TENSORS)
        state = {
            "identity": self._identity,
            "next_step": next_step,
            "sha256": file_sha256(aside / _TENSORS),
        }
        (aside / _STATE).write_text(json.dumps(state) + "\n", encoding="utf-8")
        for path in (aside / _TENSORS, aside / _STATE, aside):
            _sync(path)
        final = self._place(next_step)
        shutil.rmtree(final, ignore_errors=True)
        aside.rename(final)
        _sync(self._folder)
        for old in self._newest_first()[_KEPT:]:
            shutil.rmtree(old)

    def restore(
        self,
        parameters: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer | None,
        *,
        report: Callable[[str], None],
    ) -> int:
        """Load the newest valid checkpoint into weights and, where given, optimiser.

        Returns:
            The step to run next: 0 when there is no valid checkpoint.
        """
        chosen = self._newest_valid(parameters, report) if self._ranks.rank == 0 else None
        mine = float("inf") if self._ranks.rank > 0 else 0 if chosen is None else chosen[0]
        next_step = int(self._ranks.agree(mine))
        if next_step == 0:
            return 0
        tensors = load_file(self._place(next_step) / _TENSORS) if chosen is None else chosen[1]
        _load(tensors, parameters, optimizer)
        report(f"going on from step {next_step}")
        return next_step

    def _newest_valid(
        self, parameters: Mapping[str, nn.Parameter], report: Callable[[str], None]
    ) -> tuple[int, dict[str, torch.Tensor]] | None:
        for folder in self._newest_first():
            try:
                return self._read(folder, parameters)
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                report(f"checkpoint {folder.name} is not used: {error}")
        return None

    def _place(self, next_step: int) -> Path:
        return self._folder / f"step-{next_step:08d}"

    def _read(
        self, folder: Path, parameters: Mapping[str, nn.Parameter]
    ) -> tuple[int, dict[str, torch.Tensor]]:
        state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        if state["identity"] != self._identity:
            raise ValueError("it belongs to another run")
        if file_sha256(folder / _TENSORS) != state["sha256"]:
            raise ValueError("its tensors are damaged")
        tensors = load_file(folder / _TENSORS)
        for name, parameter in parameters.items():
            if tensors[f"weight/{name}"].shape != parameter.shape:
                raise ValueError(f"{name} has another shape")
        return int(state["next_step"]), tensors

    def _newest_first(self) -> list[Path]:
        return sorted(self._folder.glob("step-*"), reverse=True)


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

"""Checkpoints of a training run that may be killed at any instant.

Owns their files. The rule: a checkpoint is written aside and renamed into place, carries a SHA-256 of
its tensors and the identity of its run, and is believed only if both are right; else the one before is
taken. No random state is kept: every draw of a step depends on the seed and the step's number.
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

_KEPT = 2
_TENSORS, _STATE = "tensors.safetensors", "state.json"


class CheckpointFolder:
    """The checkpoints of one run, the newest two of them.

    Args:
        folder: Where they lie; made where needed.
        identity: What the run is; a checkpoint of another run is not taken.
    """

    def __init__(self, folder: Path, *, identity: str) -> None:
        self._folder = folder
        self._identity = identity

    def save(
        self, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, *, next_step: int
    ) -> None:
        """Write weights and optimiser state as they are before `next_step`."""
        tensors: dict[str, torch.Tensor] = {}
        for name, parameter in parameters.items():
            tensors[f"weight/{name}"] = parameter.detach()
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"{key}/{name}"] = value
        aside = self._folder / f".aside-{next_step}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        save_file({name: value.cpu().contiguous() for name, value in tensors.items()}, aside / _TENSORS)
        state = {
            "identity": self._identity,
            "next_step": next_step,
            "sha256": file_sha256(aside / _TENSORS),
        }
        (aside / _STATE).write_text(json.dumps(state) + "\n", encoding="utf-8")
        for path in (aside / _TENSORS, aside / _STATE, aside):
            _sync(path)
        final = self._folder / f"step-{next_step:08d}"
        shutil.rmtree(final, ignore_errors=True)
        aside.rename(final)
        _sync(self._folder)
        for old in self._newest_first()[_KEPT:]:
            shutil.rmtree(old)

    def restore(
        self,
        parameters: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        *,
        report: Callable[[str], None],
    ) -> int:
        """Load the newest valid checkpoint into weights and optimiser.

        Returns:
            The step to run next: 0 when there is no valid checkpoint.
        """
        for folder in self._newest_first():
            try:
                next_step, tensors = self._read(folder, parameters)
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                report(f"checkpoint {folder.name} is not used: {error}")
                continue
            _load(tensors, parameters, optimizer)
            report(f"going on from step {next_step}")
            return next_step
        return 0

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
    optimizer: torch.optim.Optimizer,
) -> None:
    by_name: dict[str, dict[str, torch.Tensor]] = {name: {} for name in parameters}
    for key, value in tensors.items():
        kind, name = key.split("/", 1)
        if name in by_name:
            by_name[name][kind] = value
    for name, parameter in parameters.items():
        values = by_name[name]
        parameter.copy_(values.pop("weight"))
        # The step count stays on the CPU, as AdamW keeps it; the moments go with the weight.
        optimizer.state[parameter] = {
            kind: value if kind == "step" else value.to(parameter.device)
            for kind, value in values.items()
        }


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

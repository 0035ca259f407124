"""Checkpoints: whole ones are taken, damaged ones are passed over."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from harness.training.checkpoints import CheckpointFolder


def _model() -> tuple[dict[str, nn.Parameter], torch.optim.AdamW]:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    parameters = dict(model.named_parameters())
    return parameters, torch.optim.AdamW(parameters.values(), lr=0.1)


def _step(parameters: dict[str, nn.Parameter], optimizer: torch.optim.AdamW) -> None:
    for parameter in parameters.values():
        parameter.grad = parameter.detach() + 1
    optimizer.step()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Three checkpoints, before steps 1, 2 and 3, of which two are kept."""
    parameters, optimizer = _model()
    checkpoints = CheckpointFolder(tmp_path, identity="mine")
    for step in (1, 2, 3):
        _step(parameters, optimizer)
        checkpoints.save(parameters, optimizer, next_step=step)
    return tmp_path


def _restore(folder: Path, *, identity: str = "mine") -> tuple[int, list[str]]:
    parameters, optimizer = _model()
    said: list[str] = []
    folder_of_run = CheckpointFolder(folder, identity=identity)
    return folder_of_run.restore(parameters, optimizer, report=said.append).next_step, said


def test_the_newest_two_are_kept_and_nothing_else(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == ["step-00000002", "step-00000003"]


def test_weights_and_optimiser_go_on_bit_for_bit(saved: Path) -> None:
    expected, optimizer = _model()
    for _ in range(5):
        _step(expected, optimizer)
    parameters, optimizer = _model()
    resumed = CheckpointFolder(saved, identity="mine").restore(
        parameters, optimizer, report=lambda line: None
    )
    assert resumed.next_step == 3
    for _ in range(2):
        _step(parameters, optimizer)
    for name, value in expected.items():
        assert parameters[name].equal(value)


def test_nothing_saved_starts_from_the_beginning(tmp_path: Path) -> None:
    assert _restore(tmp_path / "nothing") == (0, [])


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(saved: Path, name: str, damage: str) -> None:
    path = saved / "step-00000003" / name
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[-1] ^= 0xFF
        path.write_bytes(data)
    step, said = _restore(saved)
    assert step == 2
    assert said[0].startswith("checkpoint step-00000003 is not used")


def test_a_write_that_was_cut_short_is_not_seen(saved: Path) -> None:
    (saved / "step-00000003").rename(saved / ".aside-3")
    assert _restore(saved)[0] == 2
    parameters, optimizer = _model()
    CheckpointFolder(saved, identity="mine").save(parameters, optimizer, next_step=3)
    assert _restore(saved)[0] == 3


def test_a_checkpoint_of_another_run_is_not_taken(saved: Path) -> None:
    step, said = _restore(saved, identity="other")
    assert step == 0
    assert all("belongs to another run" in line for line in said)

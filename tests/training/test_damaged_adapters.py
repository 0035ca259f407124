"""An adapter that is lost, damaged or not applied is refused, never scored as its base."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.errors import DataError, HarnessError, ProbeError
from harness.models.embedder import Embedder
from harness.models.folder import MANIFEST
from harness.models.lora import lora_parameters
from harness.models.network import load_network
from harness.models.probes import probe_adapter, run_probes
from tests.training.adapters import train_adapter


@pytest.fixture(scope="module")
def trained(tiny_base: Path, pairs_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_adapter(tiny_base, pairs_file, tmp_path_factory.mktemp("adapter"))


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy"


def _remove(adapter: Path) -> None:
    shutil.rmtree(adapter)


def _change(adapter: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    path = adapter / "adapter_model.safetensors"
    factors = load_file(path)
    change(factors)
    save_file(factors, path, metadata={"format": "pt"})


def _zero(adapter: Path) -> None:
    def change(factors: dict[str, torch.Tensor]) -> None:
        for value in factors.values():
            value.zero_()

    _change(adapter, change)


def _scale(adapter: Path) -> None:
    def change(factors: dict[str, torch.Tensor]) -> None:
        for value in factors.values():
            value.mul_(1.5)

    _change(adapter, change)


def _drop_one(adapter: Path) -> None:
    def change(factors: dict[str, torch.Tensor]) -> None:
        del factors[sorted(factors)[0]]

    _change(adapter, change)


def _rename(adapter: Path) -> None:
    def change(factors: dict[str, torch.Tensor]) -> None:
        for name in list(factors):
            factors[name.replace("base_model.model.", "base_model.model.model.")] = factors.pop(name)

    _change(adapter, change)


def _empty(adapter: Path) -> None:
    def change(factors: dict[str, torch.Tensor]) -> None:
        name = sorted(factors)[0]
        factors[name] = factors[name][:0]

    _change(adapter, change)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_remove, "the model's adapter is not there"),
        (_zero, "has norm 0.0"),
        (_drop_one, "is not in the file"),
        (_rename, "is not in the"),
        (_empty, "cannot load the adapter"),
        (_scale, "not what was saved"),
    ],
)
def test_a_damaged_adapter_is_refused(damage: Callable[[Path], None], said: str, copy: Path) -> None:
    damage(copy / "adapter")
    with pytest.raises(HarnessError, match=said):
        Embedder.load(copy, device="cpu")


def test_a_folder_that_would_leave_the_adapter_out_is_refused(copy: Path) -> None:
    manifest = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps({**manifest, "merged": None}))
    with pytest.raises(ProbeError, match="not what was saved"):
        Embedder.load(copy, device="cpu")


def test_an_adapter_that_changes_nothing_is_caught(trained: Path) -> None:
    network = load_network(trained, device="cpu")
    run_probes(network)
    for name, factor in lora_parameters(network.decoder).items():
        if ".lora_B." in name:
            torch.nn.init.zeros_(factor)
    with pytest.raises(ProbeError, match="the adapter is not applied"):
        probe_adapter(network)


def test_prompts_that_other_libraries_would_swap_are_caught(copy: Path) -> None:
    path = copy / "config_sentence_transformers.json"
    settings = json.loads(path.read_text())
    settings["prompts"] = {"query": "", "document": "query: "}
    path.write_text(json.dumps(settings))
    with pytest.raises(DataError, match="prompts"):
        Embedder.load(copy, device="cpu")

"""Low-rank adapters on a decoder, through PEFT.

Owns how adapters are put on, told apart, written and read. The rule: adapters are float32 and sit on the
decoder itself, never on the model with its vocabulary head, so that the names of their weights are those
that a decoder loaded later expects (PEFT drops adapters with other names with no more than a warning).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from harness.errors import DataError, did_you_mean
from harness.identity import derive_seed
from harness.study.recipe import TuningConfig

_SETTINGS, _TENSORS = "adapter_config.json", "adapter_model.safetensors"


def add_lora(decoder: Any, tuning: TuningConfig, *, seed: int) -> PeftModel:
    """Put fresh adapters on `decoder`, in place, and freeze everything else.

    The first factor is drawn from `seed` alone, the second is zero, so the model is unchanged at
    first.

    Raises:
        DataError: When a target names no linear layer of the decoder.
    """
    names = {name for name, _ in linear_layers(decoder)}
    for target in tuning.targets:
        if target not in names:
            raise DataError(
                f"LoRA target {target!r} is no linear layer of the base.{did_you_mean(target, names)}",
                cure=f"Its linear layers: {', '.join(sorted(names))}.",
            )
    config = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=tuning.rank,
        lora_alpha=tuning.alpha,
        lora_dropout=tuning.dropout,
        target_modules=list(tuning.targets),
        bias="none",
    )
    with torch.random.fork_rng(), quiet_peft():
        torch.manual_seed(derive_seed("lora", seed))
        return get_peft_model(decoder, config)


def linear_layers(decoder: nn.Module) -> list[tuple[str, nn.Linear]]:
    """Return a network's linear layers, on which adapters may sit, by the last part of their names."""
    return [
        (name.removesuffix(".base_layer").rsplit(".", 1)[-1], layer)
        for name, layer in decoder.named_modules()
        if isinstance(layer, nn.Linear) and ".lora_" not in name
    ]


def save_lora(adapted: PeftModel, folder: Path, *, base: str) -> None:
    """Write the adapters as PEFT's own files, the same bytes for equal adapters.

    Args:
        adapted: The decoder with its adapters.
        folder: Folder to write.
        base: Name of the base, written instead of the folder it was loaded from.
    """
    adapted.peft_config["default"].base_model_name_or_path = base
    # Asked about embeddings, PEFT would look the base up on the hub; adapters never hold any.
    adapted.save_pretrained(folder, save_embedding_layers=False)
    # PEFT writes a set in hash order, and a model card that names local paths.
    path = folder / _SETTINGS
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["target_modules"] = sorted(settings["target_modules"])
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "README.md").unlink(missing_ok=True)


def load_lora(decoder: Any, folder: Path) -> PeftModel:
    """Put the adapters in `folder` on `decoder`, in place.

    Args:
        decoder: A network with plain weights, on the processor.
        folder: PEFT's files.

    Raises:
        DataError: When a file is missing, or a factor finds no place, has another shape or is zero.
    """
    path = folder / _TENSORS
    if not path.is_file() or not (folder / _SETTINGS).is_file():
        raise DataError(
            f"{folder}: the model's adapter is not there ({_SETTINGS}, {_TENSORS})",
            cure="Without it the folder would embed as its base does; make the model again.",
        )
    # PEFT draws factors before it loads them.
    try:
        with torch.random.fork_rng(), quiet_peft():
            adapted = PeftModel.from_pretrained(decoder, folder, torch_device="cpu")
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{folder}: cannot load the adapter ({error})",
            cure="It belongs to another base or is damaged; make the model again.",
        ) from error
    loaded = {name.replace(".default.", "."): value for name, value in lora_parameters(adapted).items()}
    check_factors(load_file(path), loaded, where=str(path))
    return adapted


def check_factors(
    stored: Mapping[str, torch.Tensor], loaded: Mapping[str, torch.Tensor], *, where: str
) -> None:
    """Check that the factors of a file are those of a network, and that each adapter does something.

    Args:
        stored: Factors in the file by name.
        loaded: Factors of the network by the same names.
        where: Names the file in errors.

    Raises:
        DataError: Naming the first factor that is wrong.
    """
    for name in sorted(stored.keys() | loaded.keys()):
        if name not in stored or name not in loaded:
            side = "the network" if name not in loaded else "the file"
            raise DataError(
                f"{where}: adapter factor {name} is not in {side}",
                cure="The adapter belongs to another base; make the model again.",
            )
        factor = stored[name]
        if factor.numel() == 0 or factor.shape != loaded[name].shape:
            raise DataError(
                f"{where}: adapter factor {name} has shape {list(factor.shape)}, "
                f"the network wants {list(loaded[name].shape)}",
                cure="The adapter belongs to another base or was saved in pieces; make the model again.",
            )
        norm = float(factor.float().norm())
        if not 0 < norm < float("inf"):
            raise DataError(
                f"{where}: adapter factor {name} has norm {norm}: it would change nothing",
                cure="The adapter was not trained or not saved whole; make the model again.",
            )


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence what PEFT warns of while it loads; what matters of it is checked here."""
    with warnings.catch_warnings():
        # PEFT asks transformers by a name that is going to change.
        warnings.simplefilter("ignore")
        yield


def lora_parameters(decoder: nn.Module) -> dict[str, nn.Parameter]:
    """Return the adapters' factors by name."""
    return {name: value for name, value in decoder.named_parameters() if ".lora_" in name}


def is_second_factor(name: str) -> bool:
    """Tell whether a factor is the one that starts at zero (B in x + alpha / r * B A x)."""
    return ".lora_B." in name

"""Low-rank adapters on a decoder, through PEFT.

Owns how adapters are put on, told apart and merged. The rule: adapters sit on the decoder itself,
never on the model with its vocabulary head, so that the names of their weights are those that a
decoder loaded later expects (PEFT drops adapters with other names with no more than a warning).
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from torch import nn

from harness.errors import DataError, did_you_mean
from harness.identity import derive_seed
from harness.study.recipe import TuningConfig


def add_lora(decoder: Any, tuning: TuningConfig, *, seed: int) -> PeftModel:
    """Put fresh adapters on `decoder`, in place, and freeze everything else.

    The first factor is drawn from `seed` alone, the second is zero, so the model is unchanged at
    first.

    Raises:
        DataError: When a target names no linear layer of the decoder.
    """
    names = {
        name.rsplit(".", 1)[-1]
        for name, layer in decoder.named_modules()
        if isinstance(layer, nn.Linear)
    }
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
    with torch.random.fork_rng(), warnings.catch_warnings():
        # PEFT asks transformers by a name that is going to change.
        warnings.simplefilter("ignore", FutureWarning)
        torch.manual_seed(derive_seed("lora", seed))
        return get_peft_model(decoder, config)


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
    path = folder / "adapter_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["target_modules"] = sorted(settings["target_modules"])
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "README.md").unlink(missing_ok=True)


def lora_parameters(decoder: nn.Module) -> dict[str, nn.Parameter]:
    """Return the adapters' factors by name."""
    return {name: value for name, value in decoder.named_parameters() if ".lora_" in name}


def is_second_factor(name: str) -> bool:
    """Tell whether a factor is the one that starts at zero (B in x + alpha / r * B A x)."""
    return ".lora_B." in name

"""Base checkpoints: from what people publish to a model folder of ours.

Owns the conversion of a local Hugging Face folder or a GGUF file into a model folder. The rule:
safetensors in and out, no remote code, all weights from the file, and the vocabulary head of a decoder
kept, since reconstruction needs it. What a study changes in the architecture is `architecture`'s affair.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer

from harness.errors import DataError
from harness.models.anchor import AnchorTokenizer, with_anchor
from harness.models.architecture import configure, is_encoder, num_positions
from harness.models.network import Network, open_model, quiet
from harness.models.probes import run_probes
from harness.models.saving import save_network
from harness.study.recipe import ModelConfig, PromptConfig

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def prepare_base(
    *, config: ModelConfig, prompts: PromptConfig, checkpoint: Path, gguf: str | None, output: Path
) -> None:
    """Convert a checkpoint into a model folder.

    Args:
        config: The model as the study names it: depth, pooling, length, attention, type of the weights.
        prompts: Written into the folder for other libraries.
        checkpoint: Local Hugging Face folder, or the folder that holds the GGUF file.
        gguf: Path of the GGUF file in `checkpoint`; None for a Hugging Face folder.
        output: Folder to write.

    Raises:
        DataError: When the checkpoint cannot be used as asked.
        ProbeError: When the model fails a check (attention, padding, anchor).
    """
    network = open_base(config=config, prompts=prompts, checkpoint=checkpoint, gguf=gguf)
    run_probes(network)
    save_network(network, output)


def open_base(
    *, config: ModelConfig, prompts: PromptConfig, checkpoint: Path, gguf: str | None
) -> Network:
    """Load a checkpoint as the network that `prepare_base` would write, unchecked.

    Raises:
        DataError: When the checkpoint cannot be used as asked.
    """
    file = checkpoint / (gguf or "config.json")
    if not file.is_file():
        raise DataError(f"base {config.base!r}: {file} is not there")
    folder, source = file.parent, ({} if gguf is None else {"gguf_file": file.name})
    if gguf is None:
        _require_safetensors(folder, config)
    settings = _read(AutoConfig, file, is_gguf=gguf is not None)
    tokenizer = _read(AutoTokenizer, file, is_gguf=gguf is not None)
    configure(settings, config)
    anchored = with_anchor(tokenizer, max_length=config.max_length, template=config.template)
    has_head = not is_encoder(settings)
    model = open_model(folder, settings, dtype=torch.float32, with_head=has_head, **source)
    model.to(_DTYPES[config.dtype]).eval()
    _forget_origin(model)
    return Network(
        decoder=model.base_model if has_head else model,
        causal=model if has_head else None,
        tokenizer=AnchorTokenizer(anchored),
        config=config,
        prompts=prompts,
        manifest=None,
    )


def usual_length(checkpoint: Path, gguf: str | None) -> int:
    """Return the usual length of texts, less where the base has no positions for it.

    Raises:
        DataError: When the checkpoint's configuration cannot be read.
    """
    settings = _read(AutoConfig, checkpoint / (gguf or "config.json"), is_gguf=gguf is not None)
    usual = ModelConfig(base="").max_length
    return min(usual, num_positions(settings) or usual)


def _read(loader: Any, file: Path, *, is_gguf: bool) -> Any:
    """Return what one of transformers' loaders reads of a checkpoint beside its weights."""
    source = {"gguf_file": file.name} if is_gguf else {}
    try:
        with quiet():
            return loader.from_pretrained(file.parent, local_files_only=True, **source)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{file.parent}: cannot read configuration or tokenizer ({error})",
            cure="Checkpoints that need their own code are not run; choose one of a known architecture.",
        ) from error


def _require_safetensors(folder: Path, config: ModelConfig) -> None:
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise DataError(
            f"base {config.base!r}: {folder} holds its weights as {pickles[0]}, which can run any code "
            "when it is read",
            cure="Take a revision with model.safetensors, or, where you trust the file, convert it: "
            "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder).",
        )
    raise DataError(
        f"base {config.base!r}: {folder} holds no weights (*.safetensors)",
        cure="Take a revision or a folder that has model.safetensors, or give a GGUF file.",
    )


def _forget_origin(model: Any) -> None:
    """Drop what ties a model to where it came from and would stop or change its saving."""
    # A model read from GGUF is said to be quantised though its weights are plain by now.
    if hasattr(model, "hf_quantizer"):
        del model.hf_quantizer
    for name in ("quantization_config", "_model_name_or_path"):
        if hasattr(model.config, name):
            delattr(model.config, name)

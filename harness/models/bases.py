"""Base checkpoints: from what people publish to a model folder of ours.

Owns the conversion of a local Hugging Face folder or a GGUF file into a model folder, and the
download from the Hugging Face hub. The rule: safetensors out, no remote code, all weights from the
file, and the vocabulary head kept, since reconstruction needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from harness.errors import DataError
from harness.models.anchor import AnchorTokenizer, with_anchor
from harness.models.network import Network, from_files, quiet
from harness.models.probes import run_probes
from harness.models.saving import save_network
from harness.study.recipe import ModelConfig, PromptConfig

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_WANTED = ["*.json", "*.safetensors", "*.model", "*.txt"]


def prepare_base(
    *, config: ModelConfig, prompts: PromptConfig, checkpoint: Path, gguf: str | None, output: Path
) -> None:
    """Convert a checkpoint into a model folder.

    Args:
        config: The model as the study names it: depth, pooling, length, type of the weights.
        prompts: Written into the folder for other libraries.
        checkpoint: Local Hugging Face folder, or the folder that holds the GGUF file.
        gguf: Path of the GGUF file in `checkpoint`; None for a Hugging Face folder.
        output: Folder to write.

    Raises:
        DataError: When the checkpoint cannot be used as asked.
        ProbeError: When the model fails a check (causal attention, padding, anchor).
    """
    file = checkpoint / (gguf or "config.json")
    if not file.is_file():
        raise DataError(f"base {config.base!r}: {file} is not there")
    folder, source = file.parent, ({} if gguf is None else {"gguf_file": file.name})
    with quiet():
        settings = AutoConfig.from_pretrained(folder, local_files_only=True, **source)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, **source)
    _cut_layers(settings, config)
    model = from_files(AutoModelForCausalLM, folder, dtype=torch.float32, config=settings, **source)
    model.to(_DTYPES[config.dtype])
    _forget_origin(model)
    network = Network(
        decoder=model.base_model,
        causal=model.eval(),
        tokenizer=AnchorTokenizer(with_anchor(tokenizer, max_length=config.max_length)),
        config=config,
        prompts=prompts,
        manifest=None,
    )
    run_probes(network)
    save_network(network, output)


def resolve_hub(name: str, revision: str, *, mirrors: Sequence[Path] = ()) -> Path:
    """Return the local folder of a model of the Hugging Face hub, downloading what is missing.

    Args:
        name: `<organisation>/<name>`.
        revision: Commit, tag or branch; a commit is the only one that stays the same.
        mirrors: Folders that stand in for the hub; with any given, the network is not used.

    Raises:
        DataError: When the hub cannot be reached and the model is not in the local cache, or the
            name, the revision or the right to read it is not there, or no mirror has it.
    """
    for root in mirrors:
        if (root / name / "config.json").is_file():
            return root / name
    if mirrors:
        raise DataError(
            f"base {name!r} is in none of the mirrors: {', '.join(str(root) for root in mirrors)}",
            cure=f"Put the model's files into <mirror>/{name}/, or run without a mirror.",
        )
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_WANTED))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"cannot get {name!r} at revision {revision!r} from the Hugging Face hub: {said}",
            cure="Check name, revision, network and HF_TOKEN, or give the base as a local folder.",
        ) from error


def _cut_layers(settings: Any, config: ModelConfig) -> None:
    """Set the depth in the model's configuration, so that only the first layers are loaded."""
    if config.num_layers is None:
        return
    if config.num_layers > settings.num_hidden_layers:
        raise DataError(
            f"base {config.base!r} has {settings.num_hidden_layers} layers; num_layers asks for "
            f"{config.num_layers}",
            cure="Leave num_layers out to keep all layers.",
        )
    settings.num_hidden_layers = config.num_layers
    if getattr(settings, "layer_types", None):
        settings.layer_types = settings.layer_types[: config.num_layers]


def _forget_origin(model: Any) -> None:
    """Drop what ties a model to where it came from and would stop or change its saving."""
    # A model read from GGUF is said to be quantised though its weights are plain by now.
    if hasattr(model, "hf_quantizer"):
        del model.hf_quantizer
    for name in ("quantization_config", "_model_name_or_path"):
        if hasattr(model.config, name):
            delattr(model.config, name)

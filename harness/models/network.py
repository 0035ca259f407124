"""A loaded model: network, tokenizer and, where they are wanted, adapter and vocabulary head.

Owns loading from model folders. The rule: every weight of the network comes from the file; a weight
that the file lacks raises instead of being drawn at random, and the type of the weights is stated, never
guessed. The files around the weights belong to `folder`, the checks to `probes`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import MODEL_MAPPING, AutoConfig, AutoModel, AutoModelForCausalLM
from transformers.utils import logging

from harness.errors import DataError, HarnessError
from harness.models import attention
from harness.models.anchor import AnchorTokenizer
from harness.models.architecture import is_encoder
from harness.models.folder import ADAPTER, Manifest, read_manifest
from harness.models.last_layer import skip_unwanted
from harness.models.lora import load_lora
from harness.study.recipe import ModelConfig, PromptConfig

_HEAD_SCALES = ("final_logit_softcapping", "logits_scaling", "logit_scale")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A model in memory."""

    decoder: Any
    """The transformer below the head: ids or input embeddings in, hidden states out."""
    causal: Any | None
    """The language model that holds `decoder` and the head; None where no head was asked for."""
    tokenizer: AnchorTokenizer
    config: ModelConfig
    prompts: PromptConfig
    manifest: Manifest | None
    """What the folder said of the model; None for a network that has no folder yet."""
    adapted: Any | None = None
    """PEFT's model around `decoder`; None where the weights are plain."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(iter(self.decoder.parameters())).device

    @property
    def dimension(self) -> int:
        """Width of the embeddings."""
        return int(self.decoder.config.hidden_size)

    @property
    def whole(self) -> Any:
        """The model that is trained and saved: with its head where it was loaded with one."""
        return self.decoder if self.causal is None else self.causal

    @property
    def is_merged(self) -> bool:
        """Whether the weights hold an adapter that the folder keeps beside them."""
        manifest = self.manifest
        return manifest is not None and manifest.merged is False and self.adapted is None

    def head_weight(self) -> nn.Parameter:
        """Return the vocabulary head's matrix [vocabulary, width].

        Raises:
            DataError: When the head does more than multiply, which the loss does not know.
        """
        if self.causal is None:
            raise ValueError("this network was loaded without its head")
        head = self.causal.get_output_embeddings()
        scaled = [
            name
            for name in _HEAD_SCALES
            if getattr(self.decoder.config, name, None) not in (None, 1, 1.0)
        ]
        if not isinstance(head, nn.Linear) or head.bias is not None or scaled:
            raise DataError(
                f"base {self.config.base!r}: its vocabulary head has a bias or a scale ({scaled})",
                cure="Reconstruction needs a plain linear head; choose another base.",
            )
        return head.weight


def load_network(folder: Path, *, device: str = "auto", with_head: bool = False) -> Network:
    """Load a model folder in evaluation mode, in the type its weights are stored in.

    Args:
        folder: A model folder.
        device: `auto`, `cpu`, `cuda` or a device of torch's.
        with_head: Whether the vocabulary head is needed.

    Raises:
        DataError: When the folder is no model folder or lacks weights.
    """
    manifest = read_manifest(folder)
    settings = AutoConfig.from_pretrained(folder, local_files_only=True)
    model = open_model(folder, settings, dtype=settings.dtype, with_head=with_head)
    decoder = model.base_model if with_head else model
    # On the processor: PEFT would choose a device by itself.
    adapted = load_lora(decoder, folder / ADAPTER) if manifest.merged is False else None
    model.eval().to(resolve_device(device))
    return Network(
        decoder=decoder,
        causal=model if with_head else None,
        tokenizer=AnchorTokenizer.load(folder),
        config=manifest.model,
        prompts=manifest.prompts,
        manifest=manifest,
        adapted=adapted,
    )


def open_model(
    folder: Path, settings: Any, *, dtype: torch.dtype, with_head: bool, **source: Any
) -> Any:
    """Load the weights in `folder` into the architecture that `settings` describe.

    Args:
        folder: Where the weights are.
        settings: transformers' configuration.
        dtype: Type of the weights.
        with_head: Whether the vocabulary head is needed.
        source: Says where in the folder, such as `gguf_file`.

    Raises:
        DataError: When an encoder should have a head, or weights are missing.
    """
    if with_head and is_encoder(settings):
        raise DataError(
            f"{folder}: {settings.model_type} is an encoder: it predicts no next token, so nothing can "
            "be reconstructed from its embeddings",
            cure="Set reconstruction.steps: 0 for variants on this base, or choose a decoder.",
        )
    loader = AutoModelForCausalLM if with_head else AutoModel
    more = {} if with_head else model_arguments(settings)
    return from_files(loader, folder, dtype=dtype, config=settings, **more, **source)


def model_arguments(settings: Any) -> dict[str, Any]:
    """Return what the constructor of a network must be told beyond its configuration.

    BERT and its kin would put a pooling layer on top, which published checkpoints often lack and which
    no embedding of ours goes through.
    """
    kind = MODEL_MAPPING[type(settings)]
    has_pooler = "add_pooling_layer" in inspect.signature(kind.__init__).parameters
    return {"add_pooling_layer": False} if has_pooler else {}


def from_files(loader: Any, folder: Path, *, dtype: torch.dtype, **arguments: Any) -> Any:
    """Load a model with one of transformers' loaders from local files only.

    Raises:
        DataError: When a weight of the network is not in the file, or the files cannot be read.
    """
    attention.register()
    if "gguf_file" not in arguments:
        arguments["use_safetensors"] = True
    try:
        with quiet():
            model, info = loader.from_pretrained(
                folder,
                dtype=dtype,
                local_files_only=True,
                output_loading_info=True,
                attn_implementation=attention.NAME,
                **arguments,
            )
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: cannot load the model ({error})") from error
    missing = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} weights of the network are not in the file, such as {missing[0]}",
            cure="They would be random; use a complete checkpoint.",
        )
    skip_unwanted(model.base_model)
    return model


def resolve_device(device: str) -> torch.device:
    """Return the device; `auto` is CUDA where there is one.

    Raises:
        HarnessError: When CUDA is asked for and not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise HarnessError(
            f"device {device!r} is asked for, but torch sees none", cure="Use device 'cpu'."
        )
    return torch.device(device)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the loading reports and progress bars of transformers for a while."""
    level, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if had_bar:
            logging.enable_progress_bar()

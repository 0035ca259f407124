"""What a loaded model is, in numbers that people ask for before they train it.

Owns `describe`. The rule: everything is read from the model itself, nothing from its name.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from harness.errors import DataError
from harness.models.architecture import (
    is_encoder,
    num_positions,
    rope_base,
    sees_later_tokens,
    window,
)
from harness.models.lora import linear_layers
from harness.models.network import Network
from harness.study.recipe import TuningConfig
from harness.training.memory import activation_bytes

RANK = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A model's facts, in the order in which they are shown."""

    base: str
    """The base's name, as the study or the folder has it."""
    architecture: str
    """transformers' name of the network."""
    layers: int
    width: int
    """Elements of an embedding."""
    vocabulary: int
    """Tokens that the network has embeddings of."""
    parameters: int
    """Weights with the vocabulary head, without adapters."""
    dtype: str
    """Type of the weights."""
    adapter: str
    """Whether an adapter is applied beside the weights, merged into them, or not there."""
    anchor: str
    """The token at whose state a text is embedded."""
    leading_tokens: int
    """Tokens before every text."""
    template: str
    pooling: str
    max_length: int
    """Tokens of the longest text, longer ones are cut."""
    positions: int | None
    """Tokens of the longest text that the base can take; None where unlimited."""
    rope_base: float | None
    sliding_window: int | None
    attention: str
    """`causal` or `bidirectional`."""
    tied_head: bool | None
    """Whether the vocabulary head is the embedding matrix; None without a head."""
    reconstruction: str
    """`possible`, or why not."""
    lora_targets: tuple[str, ...]
    """Names of the linear layers that can get an adapter."""
    lora_parameters: int
    """Weights that LoRA of rank 16 trains on the usual targets."""
    weight_bytes: int
    """Memory of the weights."""
    lora_bytes: int
    """Memory of such adapters with gradients and AdamW's moments, in float32."""
    full_bytes: int
    """Memory of all weights' gradients and AdamW's moments, for full fine-tuning."""
    activation_bytes: int
    """Memory of what 1,024 tokens leave for the backward pass, counted on a short text."""


def describe(network: Network) -> Description:
    """Return the facts of a network; one with its head where it has one."""
    settings, tokenizer = network.decoder.config, network.tokenizer
    plain = [value for name, value in network.whole.named_parameters() if ".lora_" not in name]
    num_lora = _num_lora(network.decoder, usual_targets(network.decoder))
    weight_bytes = sum(value.numel() * value.element_size() for value in plain)
    return Description(
        base=network.config.base,
        architecture=type(network.whole).__name__,
        layers=int(settings.num_hidden_layers),
        width=network.dimension,
        vocabulary=int(network.decoder.get_input_embeddings().weight.shape[0]),
        parameters=sum(value.numel() for value in plain),
        dtype=str(network.decoder.dtype).removeprefix("torch."),
        adapter=_adapter(network),
        anchor=f"{tokenizer.anchor} ({tokenizer.anchor_id})",
        leading_tokens=tokenizer.num_leading,
        template=network.config.template,
        pooling=network.config.pooling,
        max_length=network.config.max_length,
        positions=num_positions(settings),
        rope_base=rope_base(settings),
        sliding_window=window(settings),
        attention="bidirectional" if sees_later_tokens(settings) else "causal",
        tied_head=_is_tied(network),
        reconstruction=_reconstruction(network),
        lora_targets=tuple(sorted({name for name, _ in linear_layers(network.decoder)})),
        lora_parameters=num_lora,
        weight_bytes=weight_bytes,
        # Weight, gradient and two moments of four bytes each.
        lora_bytes=16 * num_lora,
        full_bytes=3 * weight_bytes,
        activation_bytes=_activations(network.decoder),
    )


def usual_targets(decoder: nn.Module) -> tuple[str, ...]:
    """Return the layers that adapters usually sit on: a study's defaults where the base has them."""
    names = {name for name, _ in linear_layers(decoder)}
    usual = tuple(name for name in TuningConfig().targets if name in names)
    return usual or tuple(sorted(names))


def _activations(decoder: nn.Module) -> int:
    """Return the bytes that 1,024 tokens leave behind where every weight is trained: at most."""
    asked = {name: value.requires_grad for name, value in decoder.named_parameters()}
    decoder.requires_grad_(requires_grad=True)
    size = 1024 * activation_bytes(decoder)
    for name, value in decoder.named_parameters():
        value.requires_grad_(asked[name])
    return round(size)


def _num_lora(decoder: nn.Module, targets: tuple[str, ...]) -> int:
    layers = [layer for name, layer in linear_layers(decoder) if name in targets]
    return sum(RANK * (layer.in_features + layer.out_features) for layer in layers)


def _adapter(network: Network) -> str:
    if network.adapted is not None:
        return "beside the weights, applied"
    is_merged = network.manifest is not None and network.manifest.merged
    return "merged into the weights" if is_merged else "none"


def _is_tied(network: Network) -> bool | None:
    if network.causal is None:
        return None
    head = network.causal.get_output_embeddings().weight
    embedding: torch.Tensor = network.decoder.get_input_embeddings().weight
    return bool(head.data_ptr() == embedding.data_ptr())


def _reconstruction(network: Network) -> str:
    if is_encoder(network.decoder.config):
        return "impossible: an encoder predicts no next token"
    if network.causal is None:
        return "unknown: loaded without its head"
    try:
        network.head_weight()
    except DataError as error:
        return f"impossible: {error.message}"
    return "possible"

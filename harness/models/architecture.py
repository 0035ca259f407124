"""What a study may change in a base's configuration: depth, positions, window, attention.

Owns the reading and writing of transformers' configuration objects. The rule: each change is written
into `config.json`, where transformers and sentence-transformers read it, so that they compute what we
do; a change that the architecture cannot take is refused. Weights are left to `bases`.
"""

from __future__ import annotations

from typing import Any

from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
)

from harness.errors import DataError
from harness.study.recipe import ModelConfig

_FULL = "full_attention"


def is_encoder(settings: Any) -> bool:
    """Tell whether an architecture (BERT, XLM-R) has no causal language model."""
    if getattr(settings, "is_decoder", False):
        return False
    is_masked = type(settings) in MODEL_FOR_MASKED_LM_MAPPING
    return is_masked or type(settings) not in MODEL_FOR_CAUSAL_LM_MAPPING


def sees_later_tokens(settings: Any) -> bool:
    """Tell whether a token's state depends on the tokens after it, as the configuration says."""
    if is_encoder(settings) or getattr(settings, "is_causal", None) is False:
        return True
    return getattr(settings, "use_bidirectional_attention", None) in (True, "all")


def has_rotary(settings: Any) -> bool:
    """Tell whether positions are rotations, which have no table that ends."""
    return bool(getattr(settings, "rope_parameters", None))


def rope_base(settings: Any) -> float | None:
    """Return the base of the rotary embedding, that of full attention where layers differ."""
    parameters = getattr(settings, "rope_parameters", None)
    if not parameters:
        return None
    theta = parameters.get(_FULL, parameters).get("rope_theta")
    return None if theta is None else float(theta)


def window(settings: Any) -> int | None:
    """Return the number of tokens of the sliding window, None where every layer sees all."""
    size = getattr(settings, "sliding_window", None)
    kinds = getattr(settings, "layer_types", None)
    if size is None or (kinds and "sliding_attention" not in kinds):
        return None
    return int(size)


def configure(settings: Any, config: ModelConfig) -> None:
    """Write what the study asks for into the base's configuration.

    Args:
        settings: transformers' configuration of the base; changed in place.
        config: The model as the study names it.

    Raises:
        DataError: When the architecture cannot take a change; names field and cure.
    """
    if getattr(settings, "is_encoder_decoder", False) or settings.get_text_config() is not settings:
        raise DataError(
            f"base {config.base!r} ({settings.model_type}) is no plain text encoder or decoder",
            cure="Choose a decoder such as Llama, Qwen, Mistral or Gemma, or an encoder such as XLM-R.",
        )
    _cut_layers(settings, config)
    _set_rope(settings, config)
    _set_window(settings, config)
    _set_attention(settings, config)
    _check_length(settings, config)


def _cut_layers(settings: Any, config: ModelConfig) -> None:
    """Set the depth, so that only the first layers are loaded."""
    wanted, num_layers = config.num_layers, settings.num_hidden_layers
    if wanted is None:
        return
    if wanted > num_layers:
        raise DataError(
            f"base {config.base!r} has {num_layers} layers; num_layers asks for {wanted}",
            cure="Leave num_layers out to keep all layers.",
        )
    for name, value in settings.to_dict().items():
        # Lists with an entry a layer: layer_types, no_rope_layers and the like.
        if isinstance(value, list) and len(value) == num_layers and "layer" in name:
            setattr(settings, name, value[:wanted])
    settings.num_hidden_layers = wanted
    if getattr(settings, "max_window_layers", None) is not None:
        settings.max_window_layers = min(settings.max_window_layers, wanted)


def _set_rope(settings: Any, config: ModelConfig) -> None:
    if config.rope_base is None:
        return
    if not has_rotary(settings):
        raise DataError(
            f"base {config.base!r} ({settings.model_type}) has no rotary position embedding; "
            f"rope_base asks for {config.rope_base}",
            cure="Leave rope_base out.",
        )
    parameters = settings.rope_parameters
    # Layers with a window (Gemma 3) have a base of their own, which the window's size decides.
    parameters.get(_FULL, parameters)["rope_theta"] = config.rope_base
    if config.max_length > settings.max_position_embeddings:
        settings.max_position_embeddings = config.max_length


def _set_window(settings: Any, config: ModelConfig) -> None:
    if config.sliding_window is None:
        return
    if window(settings) is None:
        raise DataError(
            f"base {config.base!r} has no sliding window; sliding_window asks for "
            f"{config.sliding_window}",
            cure="Leave sliding_window out, or choose a base with a window.",
        )
    settings.sliding_window = config.sliding_window


def _set_attention(settings: Any, config: ModelConfig) -> None:
    """Write who sees whom as `is_causal`, which both masks and kernels of transformers follow."""
    if config.attention == "native":
        return
    if is_encoder(settings):
        if config.attention == "causal":
            raise DataError(
                f"base {config.base!r} ({settings.model_type}) is an encoder and cannot be made causal",
                cure="Set model.attention to native, or choose a decoder.",
            )
        return
    if config.attention == "causal" and getattr(settings, "use_bidirectional_attention", None):
        if window(settings) is not None and config.sliding_window is None:
            # Gemma 3 halves the window of a model that sees both ways.
            settings.sliding_window = settings.to_dict()["sliding_window"]
        settings.use_bidirectional_attention = False
    settings.is_causal = config.attention == "causal"


def _check_length(settings: Any, config: ModelConfig) -> None:
    limit = num_positions(settings)
    if limit is None or config.max_length <= limit:
        return
    cure = f"Set model.max_length to at most {limit}"
    if has_rotary(settings):
        cure += ", or give model.rope_base, which stretches the positions"
    raise DataError(
        f"base {config.base!r} has {limit} positions; max_length asks for {config.max_length}",
        cure=f"{cure}.",
    )


def num_positions(settings: Any) -> int | None:
    """Return the tokens of the longest text that the base has positions for, None where unlimited."""
    limit = getattr(settings, "max_position_embeddings", None)
    if limit is None or limit < 0:
        return None
    # RoBERTa's family counts positions from after the padding token's id.
    is_shifted = "roberta" in settings.model_type or settings.model_type in {"camembert", "xmod"}
    return int(limit) - (int(settings.pad_token_id) + 1 if is_shifted else 0)

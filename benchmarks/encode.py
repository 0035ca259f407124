"""Encoding: the `Embedder` against `SentenceTransformer.encode` on the same model folder.

Run as `make bench`. The model is SmolLM2-135M cut to 6 layers; the texts are news paragraphs and
headlines, and headlines behind an instruction. The peer loads the same folder, so neither a chat
template nor a low precision slows it. The share of the peak counts the operations that ours does.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import compare_rates, report
from benchmarks.train import make_base
from harness.data.bbc import drop_copies, read_articles
from harness.models.anchor import AnchorTokenizer
from harness.models.embedder import Embedder
from tests import fetch

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

WHEELS = Path(".harness") / "test-wheels"
NUM_TEXTS = 400
LAYERS, LENGTH = 6, 512
BLOCK_WEIGHTS, KEY_WEIGHTS = 3_538_944, 221_184
"""Of the linear layers of a block, and those among them of keys and values."""
INSTRUCTION = "Instruct: Given a news headline, retrieve the article that it stands above.\nQuery: "
REPEATS = 5


def main() -> None:
    """Measure and report."""
    from sentence_transformers import SentenceTransformer

    fetch.main()
    articles = drop_copies(read_articles(WHEELS))[:NUM_TEXTS]
    headlines = [article.headline for article in articles]
    half = articles[: NUM_TEXTS // 2]
    mixed = [text for article in half for text in (article.headline, article.paragraphs[0])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_base(folder, layers=LAYERS)
        embedder = Embedder.load(folder, device="cpu")
        peer = SentenceTransformer(name, device="cpu")
        repeated = [INSTRUCTION + headline for headline in headlines]
        rows = [
            compare_rates(
                f"encode mixed news texts, {LAYERS} layers",
                unit="texts/s",
                amount=len(mixed),
                ours=lambda: embedder.encode(mixed),
                peer=lambda: peer.encode(mixed, batch_size=32, show_progress_bar=False),
                repeats=REPEATS,
                flops=_operations(folder, mixed),
            ),
            compare_rates(
                f"encode headlines behind an instruction, {LAYERS} layers",
                unit="texts/s",
                amount=len(headlines),
                ours=lambda: embedder.encode(headlines, prompt=INSTRUCTION),
                peer=lambda: _encode_behind(peer, headlines),
                repeats=REPEATS,
                flops=_operations(folder, headlines, prompt=INSTRUCTION),
            ),
            compare_rates(
                "the same, against ours with the instruction as a part of each text",
                unit="texts/s",
                amount=len(headlines),
                ours=lambda: embedder.encode(headlines, prompt=INSTRUCTION),
                peer=lambda: embedder.encode(repeated),
                repeats=REPEATS,
                flops=_operations(folder, headlines, prompt=INSTRUCTION),
            ),
        ]
    report("encode", rows)


def _encode_behind(peer: SentenceTransformer, texts: list[str]) -> None:
    peer.encode(texts, prompt=INSTRUCTION, batch_size=32, show_progress_bar=False)


def _operations(folder: Path, texts: list[str], *, prompt: str = "") -> float:
    """Return the operations that ours does in the blocks' linear layers, two a weight and token.

    The last block computes keys and values of all tokens, the rest for the tokens that vectors are
    taken from. A prompt that texts share is not counted.
    """
    tokenizer = AnchorTokenizer.load(folder)
    rows = tokenizer.tokenise([prompt + text for text in dict.fromkeys(texts)], LENGTH)
    num_shared = len(tokenizer.beginning(prompt, LENGTH)) if prompt else 0
    num_tokens = sum(len(row) - num_shared for row in rows)
    in_last = num_tokens * KEY_WEIGHTS + len(rows) * (BLOCK_WEIGHTS - KEY_WEIGHTS)
    return 2.0 * (num_tokens * (LAYERS - 1) * BLOCK_WEIGHTS + in_last)


if __name__ == "__main__":
    main()

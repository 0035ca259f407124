"""Writing a network as a model folder.

Owns the order of writing: weights, surroundings, manifest. The rule: the manifest comes last and
holds the probe embeddings of exactly the weights that were written, so that a folder which was
damaged or mixed up is refused when it is loaded.
"""

from __future__ import annotations

from pathlib import Path

from harness.models.folder import Manifest, write_manifest, write_surroundings
from harness.models.network import Network, quiet
from harness.models.probes import PROBE_TEXTS, probe_embeddings


def save_network(network: Network, output: Path) -> None:
    """Write `network` to `output` as safetensors with everything that loads it again.

    Args:
        network: A network without adapters; its head is kept where it has one.
        output: Folder to write; made where needed.
    """
    output.mkdir(parents=True, exist_ok=True)
    with quiet():
        network.whole.save_pretrained(output)
    write_surroundings(
        output,
        config=network.config,
        prompts=network.prompts,
        tokenizer=network.tokenizer,
        dimension=network.dimension,
    )
    write_manifest(
        output,
        Manifest(
            model=network.config,
            prompts=network.prompts,
            anchor=network.tokenizer.anchor,
            anchor_id=network.tokenizer.anchor_id,
            probe_texts=PROBE_TEXTS,
            probe_embeddings=tuple(tuple(row) for row in probe_embeddings(network).tolist()),
        ),
    )

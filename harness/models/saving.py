"""Writing a network as a model folder.

Owns the order of writing: weights, adapter, surroundings, manifest. The rule: the manifest comes last
and holds the probe embeddings of exactly what was written, so that a folder which was damaged or mixed
up is refused when it is loaded. An adapter leaves its base's weights alone: they are linked, not copied.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from harness.models.architecture import is_encoder
from harness.models.folder import (
    ADAPTER,
    Manifest,
    read_manifest,
    weight_files,
    write_manifest,
    write_surroundings,
)
from harness.models.lora import save_lora
from harness.models.network import Network, model_arguments, open_model, quiet
from harness.models.probes import PROBE_TEXTS, probe_embeddings


def save_network(
    network: Network, output: Path, *, base: Path | None = None, is_merged: bool = False
) -> None:
    """Write `network` to `output` with everything that loads it again.

    Args:
        network: What to write. Where it has an adapter, the adapter is taken off when this returns.
        output: Folder to write; made where needed.
        base: Model folder that the network was loaded from, which holds the head if `network` does not.
        is_merged: Whether the weights hold an adapter by now; its files lie in `output` already.
    """
    output.mkdir(parents=True, exist_ok=True)
    embeddings = probe_embeddings(network)
    arguments = {} if network.causal is not None else model_arguments(network.decoder.config)
    if network.adapted is not None:
        save_lora(network.adapted, output / ADAPTER, base=network.config.base)
        arguments |= {"adapter_kwargs": {"subfolder": ADAPTER}}
    if network.adapted is not None and base is not None and read_manifest(base).merged is not False:
        for path in weight_files(base):
            _link(path, output / path.name)
    else:
        # After an adapter of an earlier stage was merged, its weights lie nowhere else.
        if network.adapted is not None:
            network.adapted.unload()
        with quiet():
            _with_head(network, base).save_pretrained(output)
    write_surroundings(
        output,
        config=network.config,
        prompts=network.prompts,
        tokenizer=network.tokenizer,
        dimension=network.dimension,
        model_arguments=arguments,
    )
    write_manifest(
        output,
        Manifest(
            model=network.config,
            prompts=network.prompts,
            anchor=network.tokenizer.anchor,
            anchor_id=network.tokenizer.anchor_id,
            probe_texts=PROBE_TEXTS,
            probe_embeddings=tuple(tuple(row) for row in embeddings.tolist()),
            merged=False if network.adapted is not None else is_merged or None,
        ),
    )


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; copy it where the file system cannot."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _with_head(network: Network, base: Path | None) -> Any:
    """Return the model to write: with the base's vocabulary head, though the stage did not load it.

    A later stage may need the head again.
    """
    if network.causal is not None or base is None or is_encoder(network.decoder.config):
        return network.whole
    settings = AutoConfig.from_pretrained(base, local_files_only=True)
    causal = open_model(base, settings, dtype=network.decoder.dtype, with_head=True)
    causal.base_model.load_state_dict(network.decoder.state_dict())
    return causal

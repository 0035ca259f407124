"""From a model with its adapter to plain weights.

Owns the one way in which adapters are added to weights. The rule: it is done in float32, whatever the
base's type, because in 16 bits most of what was trained would be rounded away; the sum stays float32;
and it counts only if the probe texts keep their embeddings.
"""

from __future__ import annotations

from dataclasses import replace

from harness.errors import ProbeError
from harness.models.network import Network
from harness.models.probes import compare, probe_embeddings

TOLERANCE = 1e-5
"""Largest difference of a probe embedding's element that merging may make."""


def merge_adapter(network: Network) -> Network:
    """Return the network with its adapter added to its weights, in place and in float32.

    A network without an adapter is returned as it is.

    Raises:
        ProbeError: When the merged weights give other embeddings.
    """
    if network.adapted is None:
        return network
    network.whole.float()
    before = probe_embeddings(network)
    network.adapted.merge_and_unload()
    # PEFT froze the weights beside its adapter.
    network.whole.requires_grad_(requires_grad=True)
    merged = replace(network, adapted=None)
    difference = compare(probe_embeddings(merged), before)
    if not difference <= TOLERANCE:
        raise ProbeError(
            f"the merged weights differ from the model with its adapter by {difference:.2g}",
            cure="The adapter cannot be merged faithfully; set `tuning.merge: false`, or lower its rate "
            "or alpha.",
        )
    return merged

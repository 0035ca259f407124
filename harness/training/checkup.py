"""A model's check-up: every probe there is, on one model, without a study.

Owns the order of the probes and a trial of two training steps. The rule: a probe that fails does not
keep the others from running, unless they need what it checks; the model in memory is changed by the
trial and thrown away afterwards. What a probe checks is `harness.models.probes`' and `probes`' affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch

from harness.data.pairs import Pair
from harness.errors import HarnessError
from harness.models.dropout import use_text_dropout
from harness.models.fused_lora import fuse_lora
from harness.models.lora import add_lora, lora_parameters
from harness.models.merging import merge_adapter
from harness.models.network import Network
from harness.models.probes import PROBE_TEXTS, probes_of
from harness.study.recipe import ContrastiveConfig, TuningConfig
from harness.training.contrastive import ContrastiveObjective
from harness.training.description import RANK, usual_targets
from harness.training.examination import check_prompts, contrastive_probes
from harness.training.memory import MicroBatch
from harness.training.probes import probe_gradients, probe_moved

_MERGING = "adapter merges faithfully"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one probe said."""

    check: str
    message: str = ""
    """What is wrong; empty where all is well."""
    cure: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether the check was passed."""
        return not self.message


def check_up(network: Network) -> Iterator[Finding]:
    """Run every probe on a model, one after the other.

    Args:
        network: The model; not to be used for anything else afterwards.
    """
    found = []
    for check, probe in probes_of(network).items():
        found.append(_try(check, partial(probe, network)))
        yield found[-1]
    if not all(finding.is_ok for finding in found):
        # Training would be refused at this point, too.
        return
    if network.adapted is not None:
        merged = _try(_MERGING, lambda: merge_adapter(network))
        yield merged
        if not merged.is_ok:
            return
        network = replace(network, adapted=None)
    yield from _try_training(network)


def _try_training(network: Network) -> Iterator[Finding]:
    """Put adapters on and go through what a contrastive stage checks in its first steps."""
    tuning = TuningConfig(rank=RANK, targets=usual_targets(network.decoder))
    length = network.config.max_length
    config = ContrastiveConfig(
        global_batch=len(PROBE_TEXTS) // 2, query_length=length, document_length=length, tuning=tuning
    )
    network.whole.requires_grad_(requires_grad=False)
    adapted = add_lora(network.decoder, tuning, seed=0)
    network = replace(network, adapted=adapted)
    use_text_dropout(network.whole)
    fuse_lora(network.whole)
    network.whole.train()
    factors = lora_parameters(network.decoder)
    objective = ContrastiveObjective(
        network,
        [
            Pair(query=query, positive=positive)
            for query, positive in zip(PROBE_TEXTS[::2], PROBE_TEXTS[1::2], strict=True)
        ],
        config,
        seed=0,
        micro_batch=MicroBatch(tokens=1 << 20, graph_tokens=1 << 20),
    )
    yield _try("prompts as declared", lambda: check_prompts(objective.tokenise, network, config))
    for check, probe in contrastive_probes(network, factors, config).items():
        yield _try(check, probe)

    def two_steps() -> None:
        optimizer = torch.optim.AdamW(factors.values(), lr=config.learning_rate)
        for step in range(2):
            optimizer.zero_grad(set_to_none=True)
            objective.backward(step)
            probe_gradients(factors, is_first_step=step == 0)
            optimizer.step()
            probe_moved(factors)

    yield _try("every adapter factor learns", two_steps)


def _try(check: str, run: Callable[[], object]) -> Finding:
    try:
        run()
    except HarnessError as error:
        return Finding(check=check, message=error.message, cure=error.cure)
    return Finding(check=check)

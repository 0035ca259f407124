"""The training stages: from a base folder and pairs to a trained model folder.

Owns which objective a configuration asks for. The rule: the same job gives the same weights, whether or
not it was interrupted; what a machine lends to it (`Resources`) changes them by rounding at most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.data.pairs import Pair
from harness.models.network import Network
from harness.study.document import Resources
from harness.study.recipe import ReconstructionConfig
from harness.training.contrastive import ContrastiveObjective
from harness.training.job import TrainingJob
from harness.training.memory import MicroBatch
from harness.training.ranks import ONE_RANK, Ranks
from harness.training.reconstruction import ReconstructionObjective
from harness.training.stage import run_stage


def train(
    job: TrainingJob,
    resources: Resources,
    *,
    device: str = "auto",
    report: Callable[[str], None],
) -> None:
    """Train a stage and write its model folder with `metrics.jsonl`.

    Args:
        job: Everything that decides the weights, and where they go.
        resources: Threads, ranks, memory.
        device: `auto`, `cpu`, `cuda` or a device of torch's.
        report: Takes a line for people now and then.

    Raises:
        DataError: When base or pairs are not what they should be.
        ProbeError: When a check of the model fails.
        HarnessError: When the loss is not finite, or memory does not suffice.
    """
    run_stage(job, make_objective, resources=resources, device=device, report=report)


def make_objective(
    job: TrainingJob,
    network: Network,
    pairs: Sequence[Pair],
    micro_batch: MicroBatch,
    ranks: Ranks = ONE_RANK,
) -> ReconstructionObjective | ContrastiveObjective:
    """Return the loss that a job's configuration asks for."""
    if isinstance(job.config, ReconstructionConfig):
        return ReconstructionObjective(
            network,
            pairs,
            job.config,
            seed=job.seed,
            micro_batch=micro_batch,
            sampling=job.sampling,
            ranks=ranks,
        )
    return ContrastiveObjective(
        network,
        pairs,
        job.config,
        seed=job.seed,
        micro_batch=micro_batch,
        sampling=job.sampling,
        ranks=ranks,
    )

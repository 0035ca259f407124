"""A training stage from a base folder to a trained folder.

Owns what both stages do around their loop: load and probe the base, merge what an earlier stage left
beside it, put adapters on, train, check, save and open again. The rule: a folder counts only if the
model in it gives the same probe embeddings as the one that was trained, and other ones than its base.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import nn

from harness.data.pair_sets import PairSet, SomePairs
from harness.errors import HarnessError, NonFiniteError, ProbeError
from harness.models.dropout import use_text_dropout
from harness.models.folder import ADAPTER
from harness.models.fused_lora import fuse_lora
from harness.models.lora import add_lora, lora_parameters, save_lora
from harness.models.merging import merge_adapter
from harness.models.network import Network, load_network
from harness.models.probes import compare, probe_embeddings, run_probes
from harness.models.recomputation import recompute_layers
from harness.models.saving import save_network
from harness.study.document import Resources
from harness.study.recipe import ContrastiveConfig
from harness.training.checkpoints import CHECKPOINTS, Best, CheckpointFolder
from harness.training.contrastive import ContrastiveObjective, check_negatives
from harness.training.curves import METRICS, Curves
from harness.training.distributed import train_together
from harness.training.examination import check_prompts, contrastive_probes
from harness.training.held_out import Division, NumberedObjective, divide_pairs
from harness.training.job import TrainingJob
from harness.training.loop import LoopSettings, Objective, run_loop
from harness.training.measures import make_selection
from harness.training.memory import MicroBatch, plan_micro_batch
from harness.training.outcome import read_outcome, write_outcome
from harness.training.ranks import ONE_RANK, Ranks
from harness.training.rungs import bring_back, keep_for_later
from harness.training.trackers import ServiceTracker, check_trackers


def run_stage(
    job: TrainingJob,
    make_objective: Callable[..., Objective],
    *,
    resources: Resources,
    device: str,
    report: Callable[[str], None],
) -> None:
    """Run a stage and write its model folder, `metrics.jsonl` and, with LoRA, `adapter/`.

    Args:
        job: What to run.
        make_objective: Makes the stage's loss of job, network, pairs, sub-batch and ranks.
        resources: Threads, ranks and memory.
        device: `auto`, `cpu`, `cuda` or a device of torch's.
        report: Takes a line for people now and then.

    Raises:
        DataError: When base or pairs are not what they should be, or too few to hold some out.
        ProbeError: When a check of the model fails.
        HarnessError: When the loss is not finite, or the best step is wanted and none was measured.
    """
    check_trackers(resources.trackers)
    if job.resume is not None:
        bring_back(job.resume, job.scratch, report=report)
    train = partial(train_network, job, make_objective, resources=resources)
    if resources.ranks == 1:
        network, before = train(device=device, report=report)
    else:
        train_together(train, resources=resources, device=device, report=report)
        network, before = _reopen(job, device=device, resources=resources)
    network.whole.eval()
    if job.config.steps > 0:
        _check_moved(probe_embeddings(network), before, report=report)
    _write(job, network)
    shutil.copyfile(job.scratch / METRICS, job.output / METRICS)
    if job.is_rung:
        keep_for_later(job.scratch, job.output)
    elif job.validation is not None:
        outcome = read_outcome(job)
        write_outcome(job.output, outcome)
        report(outcome.describe())


def train_network(
    job: TrainingJob,
    make_objective: Callable[..., Objective],
    *,
    resources: Resources,
    device: str,
    report: Callable[[str], None],
    ranks: Ranks = ONE_RANK,
    micro_batch: MicroBatch | None = None,
) -> tuple[Network, np.ndarray]:
    """Train the network of a job, from the newest checkpoint to the last step.

    Several ranks leave its weights in a last checkpoint, since each may hold no more than its shards.

    Args:
        job: What to train.
        make_objective: Makes the stage's loss.
        resources: Threads and memory.
        device: This rank's.
        report: Takes a line for people now and then.
        ranks: The processes that train together.
        micro_batch: Size of sub-batches; forecast when None.

    Returns:
        The network, and the probe texts' embeddings before its training.
    """
    torch.set_num_threads(max(resources.cpus // ranks.size, 1))
    (pairs, division), config = _read(job, report), job.config
    network, before = _prepare(job, device=device, resources=resources)
    if micro_batch is None:
        micro_batch = _agreed(network, resources=resources, ranks=ranks)
    report(f"sub-batches of {micro_batch.tokens} tokens; whole batches up to {micro_batch.graph_tokens}")
    training = SomePairs(pairs, division.training)
    objective = make_objective(job, network, training, micro_batch, ranks)
    projection = getattr(objective, "projection", None)
    _check(job, network, objective, _trained(network, objective))
    ranks.share([module for module in (network.whole, projection) if module is not None])
    selection = make_selection(
        network, pairs, division, config, projection=projection, micro_batch=micro_batch, ranks=ranks
    )
    curves = _curves(job, resources, report) if ranks.rank == 0 else Curves(None)
    parameters = _trained(network, objective)
    checkpoints = _checkpoints(job, ranks)
    run_loop(
        NumberedObjective(objective, division.training),
        parameters=parameters,
        adapters=lora_parameters(network.decoder),
        settings=LoopSettings.of(config, checkpoint_every=job.checkpoint_every, last_step=job.last_step),
        checkpoints=checkpoints,
        curves=curves,
        micro_batch=micro_batch,
        report=report,
        ranks=ranks,
        selection=selection,
    )
    curves.close()
    _leave(job, selection.best, parameters, checkpoints, ranks)
    return network, before


def _read(job: TrainingJob, report: Callable[[str], None]) -> tuple[PairSet, Division]:
    """Return the pair set, and which of its pairs train."""
    if job.keeps_best and job.validation is None:
        raise HarnessError(
            "`keep: best` needs pairs that are held out of training, and there are none",
            cure="Set `data.validation: {pairs: 200}`, or `keep: last`.",
        )
    examples = PairSet(job.pairs)
    if isinstance(job.config, ContrastiveConfig):
        check_negatives(examples, job.config.num_negatives)
    division = divide_pairs(examples, job.validation, global_batch=job.config.global_batch)
    if division.held_out:
        report(division.describe(len(examples)))
    return examples, division


def _leave(
    job: TrainingJob,
    best: Best | None,
    parameters: Mapping[str, nn.Parameter],
    checkpoints: CheckpointFolder,
    ranks: Ranks,
) -> None:
    """Leave the weights that the job asks for: in memory, and by several ranks in a last checkpoint."""
    if job.keeps_best and not (job.is_rung and best is None):
        if best is None:
            raise NonFiniteError(
                "no step had a finite loss on the held-out pairs, so none is the best",
                cure="Lower the learning rate, or set `keep: last` and look at the model's numbers.",
            )
        if best.step < job.last_step:
            checkpoints.load_best(parameters, best)
    # At a rung the loop has left a checkpoint, with the optimiser's state.
    if ranks.size > 1 and not job.is_rung:
        checkpoints.save(parameters, None, next_step=job.last_step, best=best)


def _prepare(job: TrainingJob, *, device: str, resources: Resources) -> tuple[Network, np.ndarray]:
    """Return the network that is trained, and the embeddings of the base that it comes from."""
    network = _open(job, device=device)
    before = probe_embeddings(network)
    return _made_trainable(job, network, resources), before


def _open(job: TrainingJob, *, device: str) -> Network:
    """Return the base with plain weights, from which the next adapter or full training starts."""
    network = load_network(job.base, device=device, with_head=job.with_head)
    run_probes(network)
    return replace(merge_adapter(network), prompts=job.prompts)


def _made_trainable(job: TrainingJob, network: Network, resources: Resources) -> Network:
    """Return the network with fresh adapters, where the job asks for them, in training mode."""
    if job.config.tuning.method == "lora":
        network.whole.requires_grad_(requires_grad=False)
        adapted = add_lora(network.decoder, job.config.tuning, seed=job.seed)
        network = replace(network, adapted=adapted)
    use_text_dropout(network.whole)
    fuse_lora(network.whole)
    if resources.gradient_checkpointing:
        recompute_layers(network.decoder)
    network.whole.train()
    return network


def _check(
    job: TrainingJob, network: Network, objective: Objective, parameters: Mapping[str, nn.Parameter]
) -> None:
    """Run the probes of the stage's own loss on the model that is about to be trained."""
    if isinstance(objective, ContrastiveObjective) and isinstance(job.config, ContrastiveConfig):
        check_prompts(objective.tokenise, network, job.config)
        for probe in contrastive_probes(network, parameters, job.config).values():
            probe()


def _reopen(job: TrainingJob, *, device: str, resources: Resources) -> tuple[Network, np.ndarray]:
    """Return the network with the weights that its ranks left."""
    network, before = _prepare(job, device=device, resources=resources)
    checkpoints, parameters = _checkpoints(job), _trained(network, None)
    left = checkpoints.restore(parameters, None, report=lambda _: None)
    if left.next_step != job.last_step:
        raise RuntimeError(
            f"the ranks left a checkpoint of step {left.next_step}, not of {job.last_step}"
        )
    if job.is_rung and job.keeps_best and left.best is not None:
        checkpoints.load_best(parameters, left.best)
    return network, before


def _agreed(network: Network, *, resources: Resources, ranks: Ranks) -> MicroBatch:
    """Return sub-batches that every rank's device can take."""
    planned = plan_micro_batch(
        network.decoder, tokens=resources.micro_batch, memory_gib=resources.memory_gib
    )
    return MicroBatch(
        tokens=int(ranks.agree(planned.tokens)), graph_tokens=int(ranks.agree(planned.graph_tokens))
    )


def _curves(job: TrainingJob, resources: Resources, report: Callable[[str], None]) -> Curves:
    folder = job.tracking or job.scratch / "tracking"
    trackers = [ServiceTracker(name, folder=folder, report=report) for name in resources.trackers]
    return Curves(job.scratch / METRICS, trackers=trackers)


def _checkpoints(job: TrainingJob, ranks: Ranks = ONE_RANK) -> CheckpointFolder:
    folder = job.scratch / CHECKPOINTS
    return CheckpointFolder(folder, identity=job.identity(), ranks=ranks, keeps_best=job.keeps_best)


def _trained(network: Network, objective: Objective | None) -> dict[str, nn.Parameter]:
    """Return what is trained, by name: the network's own and what the objective brings along."""
    modules = {"": network.whole, "projection.": getattr(objective, "projection", None)}
    return {
        f"{prefix}{name}": value
        for prefix, module in modules.items()
        if module is not None
        for name, value in module.named_parameters()
        if value.requires_grad
    }


def _check_moved(after: np.ndarray, before: np.ndarray, *, report: Callable[[str], None]) -> None:
    moved = compare(after, before)
    report(f"training moved the probe embeddings by {moved:.2g}")
    if moved == 0.0:
        raise ProbeError(
            "training did not change the model: its probe embeddings equal the base's",
            cure="Raise the learning rate; check that the loss is not zero.",
        )


def _write(job: TrainingJob, network: Network) -> None:
    """Write the model folder, and open it again to see that it is whole."""
    device = str(network.device)
    is_merged = network.adapted is not None and job.config.tuning.merge
    if is_merged:
        save_lora(network.adapted, job.output / ADAPTER, base=network.config.base)
        network = merge_adapter(network)
    save_network(network, job.output, base=job.base, is_merged=is_merged)
    run_probes(load_network(job.output, device=device))

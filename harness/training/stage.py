"""A training stage from a base folder to a trained folder.

Owns what both stages do around their loop: load and probe the base, put adapters on, train, merge,
check and save. The rule: a folder is written only if the model in it gives the same probe embeddings
as the one that was trained, and other ones than its base.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from peft import PeftModel

from harness.data.pairs import Pair, read_pairs
from harness.errors import ProbeError
from harness.identity import file_sha256, fingerprint
from harness.models.folder import weights_id
from harness.models.lora import add_lora, lora_parameters, save_lora
from harness.models.network import Network, load_network
from harness.models.probes import compare, probe_embeddings, probe_stored, run_probes
from harness.models.saving import save_network
from harness.study.recipe import ContrastiveConfig, PromptConfig, ReconstructionConfig
from harness.training.checkpoints import CheckpointFolder
from harness.training.loop import METRICS, LoopSettings, Objective, run_loop

_MERGE_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """One run of one stage: everything that decides its weights, and where they go."""

    stage: str
    base: Path
    pairs: Path
    config: ReconstructionConfig | ContrastiveConfig
    prompts: PromptConfig
    seed: int
    output: Path
    scratch: Path
    checkpoint_every: int

    def identity(self) -> str:
        """Return the fingerprint by which a checkpoint is known to belong to this run."""
        return fingerprint(
            {
                "stage": self.stage,
                "base": weights_id(self.base),
                "pairs": file_sha256(self.pairs),
                "config": self.config,
                "prompts": self.prompts,
                "seed": self.seed,
            }
        )


def run_stage(
    job: TrainingJob,
    make_objective: Callable[[Network, Sequence[Pair]], Objective],
    *,
    with_head: bool,
    threads: int,
    device: str,
    report: Callable[[str], None],
) -> None:
    """Run a stage and write its model folder, `metrics.jsonl` and, with LoRA, `adapter/`.

    Args:
        job: What to run.
        make_objective: Makes the stage's loss over the pairs.
        with_head: Whether the stage needs the vocabulary head.
        threads: Threads of torch in this process.
        device: `auto`, `cpu`, `cuda` or a device of torch's.
        report: Takes a line for people now and then.

    Raises:
        DataError: When base or pairs are not what they should be.
        ProbeError: When a check of the model fails.
        HarnessError: When the loss is not finite.
    """
    torch.set_num_threads(threads)
    examples = read_pairs(job.pairs)
    network = load_network(job.base, device=device, with_head=with_head)
    run_probes(network)
    network = replace(network, prompts=job.prompts)
    adapted = None
    if job.config.tuning.method == "lora":
        network.whole.requires_grad_(requires_grad=False)
        adapted = add_lora(network.decoder, job.config.tuning, seed=job.seed)
    metrics = job.scratch / METRICS
    with torch.random.fork_rng():
        run_loop(
            make_objective(network, examples),
            model=network.whole,
            adapters=lora_parameters(network.decoder),
            settings=LoopSettings.of(job.config, checkpoint_every=job.checkpoint_every),
            checkpoints=CheckpointFolder(job.scratch / "checkpoints", identity=job.identity()),
            metrics=metrics,
            report=report,
        )
    _write(job, network, adapted, report=report)
    shutil.copyfile(metrics, job.output / METRICS)


def _write(
    job: TrainingJob, network: Network, adapted: PeftModel | None, *, report: Callable[[str], None]
) -> None:
    job.output.mkdir(parents=True, exist_ok=True)
    if adapted is not None:
        _merge(network, adapted, job.output / "adapter")
    if network.manifest is not None and job.config.steps > 0:
        moved = compare(probe_embeddings(network), network.manifest.stored())
        report(f"training moved the probe embeddings by {moved:.2g}")
        if moved == 0.0:
            raise ProbeError(
                "training did not change the model: its probe embeddings equal the base's",
                cure="Raise the learning rate; check that the loss is not zero.",
            )
    save_network(network, job.output)
    probe_stored(load_network(job.output, device=str(network.device)))


def _merge(network: Network, adapted: PeftModel, folder: Path) -> None:
    """Save the adapters as PEFT does, then add them to the weights of the decoder in float32."""
    # In a 16-bit base the sum would be rounded away from what was trained.
    network.whole.float()
    before = probe_embeddings(network)
    save_lora(adapted, folder, base=network.config.base)
    adapted.merge_and_unload()
    difference = compare(probe_embeddings(network), before)
    if not difference <= _MERGE_TOLERANCE:
        raise ProbeError(
            f"the merged weights differ from the model with its adapter by {difference:.2g}",
            cure="The adapter cannot be merged faithfully; lower its rate or alpha.",
        )

"""Ranks as processes of one machine, through PyTorch's own DDP and FSDP2.

Owns `GroupRanks` and a training on several of them. The rule: whatever `ranks` promises holds for any
number of processes and for both strategies: sums, order and decisions are the same on each. Starting and
ending processes belongs to `processes`, what a rank trains to `stage`.
"""

from __future__ import annotations

import inspect
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from transformers.modeling_layers import GradientCheckpointingLayer

from harness.errors import HarnessError
from harness.models.network import resolve_device
from harness.study.document import Resources
from harness.training.memory import MemoryShortageError, MicroBatch
from harness.training.processes import run_ranks

Result = TypeVar("Result")
Strategy = Literal["ddp", "fsdp"]

_PATIENCE = timedelta(hours=1)

# A network's buffers are constants: nothing to send at each forward pass. Newer versions of torch call
# this by another name and warn of the old one.
_ARGUMENTS = inspect.signature(DistributedDataParallel.__init__).parameters
_NO_BUFFERS: dict[str, Any] = {
    "forward_sync_buffers" if "forward_sync_buffers" in _ARGUMENTS else "broadcast_buffers": False
}


class GroupRanks:
    """This process and its peers in the current process group.

    Args:
        strategy: `ddp`, a copy of the model on each rank, or `fsdp`, its weights in shards.
        device: Where this rank's part of the model is.
    """

    def __init__(self, strategy: Strategy, *, device: torch.device) -> None:
        self._strategy, self._device = strategy, device
        self._model: Any = None
        self.rank = distributed.get_rank()
        self.size = distributed.get_world_size()
        # Both strategies take the mean of the ranks' gradients.
        self.gradient_scale = float(self.size)

    def share(self, modules: Sequence[nn.Module]) -> None:
        """Take modules as the model that the ranks train together, each with the same weights.

        With `fsdp` each layer becomes a unit of its own; embeddings, head, final norm and whatever else
        lies between layers make one more, which is whole while `forward` runs.
        """
        model = _Shared(modules)
        if self._strategy == "ddp":
            devices = [self._device] if self._device.type == "cuda" else None
            self._model = DistributedDataParallel(
                model, device_ids=devices, gradient_as_bucket_view=True, **_NO_BUFFERS
            )
            return
        mesh = init_device_mesh(self._device.type, (self.size,))
        for layer in [item for item in model.modules() if isinstance(item, GradientCheckpointingLayer)]:
            fully_shard(layer, mesh=mesh)
        # Left whole after a forward pass that no backward pass follows, the outermost unit would keep
        # weights from before the optimiser's step.
        fully_shard(model, mesh=mesh, reshard_after_forward=True)
        self._model = model

    def forward(self, run: Callable[[], Result]) -> Result:
        """Call `run` while the shared model's own weights are whole."""
        result: Result = self._model(run)
        return result

    def accumulate(self, *, is_last: bool) -> AbstractContextManager[None]:
        """Let DDP exchange gradients in the last backward pass of a step.

        FSDP exchanges them in each: kept until the last they would be whole on every rank, which is what
        shards are to avoid.
        """
        if self._strategy == "ddp" and not is_last:
            context: AbstractContextManager[None] = self._model.no_sync()
            return context
        return nullcontext()

    def gather(self, vectors: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        """Return the vectors of all ranks [sum of counts, width], in the ranks' order."""
        # Collective operations want equal shapes.
        filled = vectors.new_zeros(max(counts), *vectors.shape[1:])
        filled[: len(vectors)] = vectors
        parts = [torch.empty_like(filled) for _ in counts]
        distributed.all_gather(parts, filled)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    def total(self, values: Sequence[float]) -> list[float]:
        """Return the sums of some numbers over the ranks."""
        return self._reduce(values, distributed.ReduceOp.SUM)

    def agree(self, value: float) -> float:
        """Return the least of the ranks' numbers."""
        return self._reduce([value], distributed.ReduceOp.MIN)[0]

    def _reduce(self, values: Sequence[float], operation: Any) -> list[float]:
        numbers = torch.tensor(values, dtype=torch.float64, device=self._device)
        distributed.all_reduce(numbers, operation)
        return numbers.tolist()


class _Shared(nn.Module):
    """A forward pass that is given from outside, over the modules that it uses."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)

    def forward(self, run: Callable[[], Result]) -> Result:
        return run()


def rank_device(device: str, *, rank: int, num_ranks: int) -> torch.device:
    """Return a rank's own device: one of the visible CUDA devices each, or the processor for all.

    Raises:
        HarnessError: When there are fewer CUDA devices than ranks.
    """
    found = resolve_device(device)
    if found.type != "cuda":
        return found
    if torch.cuda.device_count() < num_ranks:
        raise HarnessError(
            f"{num_ranks} ranks want a CUDA device each, this step sees {torch.cuda.device_count()}",
            cure=f"Set `resources.train.gpus: {num_ranks}`, or lower `resources.train.ranks`.",
        )
    return torch.device("cuda", rank)


@contextmanager
def joined(
    strategy: Strategy, *, rank: int, num_ranks: int, device: torch.device, meeting: Path
) -> Iterator[GroupRanks]:
    """Join the process group of a training for a while.

    Args:
        strategy: How the model is shared.
        rank: This process's number.
        num_ranks: Processes of the group.
        device: This rank's own.
        meeting: A file, not there before, through which the ranks find each other; no port is opened
            for it, and what the backends open is bound to loopback.
    """
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(variable, loopback)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=f"file://{meeting}",
        rank=rank,
        world_size=num_ranks,
        # While the first rank writes a checkpoint, the others wait for it.
        timeout=_PATIENCE,
        device_id=device if device.type == "cuda" else None,
    )
    yield GroupRanks(strategy, device=device)
    # Not after an error: it might wait for peers, and the process is about to be ended anyway.
    distributed.destroy_process_group()


class TrainRank(Protocol):
    """The training of one rank; it is pickled, so it is a module's function, perhaps a partial one."""

    def __call__(
        self,
        *,
        ranks: GroupRanks,
        device: str,
        micro_batch: MicroBatch | None,
        report: Callable[[str], None],
    ) -> object:
        """Train with the other ranks; sub-batches are forecast where None are given."""


def train_together(
    train: TrainRank, *, resources: Resources, device: str, report: Callable[[str], None]
) -> None:
    """Train on several ranks of this machine, each a process with a device of its own.

    When memory runs out on a rank, all are started again with half the sub-batches, and go on from the
    newest checkpoint: ranks that wait for each other cannot agree to try again.

    Args:
        train: The part of each rank.
        resources: Number of ranks, and how they share the model.
        device: `auto`, `cpu` or `cuda`.
        report: Takes a line for people now and then.

    Raises:
        HarnessError: A rank's own error, or when a rank died.
    """
    if resources.cpus < resources.ranks:
        report(
            f"warning: {resources.ranks} ranks share {resources.cpus} processor cores; "
            f"set `resources.train.cpus: {resources.ranks}` or more"
        )
    micro_batch: MicroBatch | None = None
    while True:
        with tempfile.TemporaryDirectory(prefix="harness-ranks-") as folder:
            work = partial(
                _train_rank,
                train,
                resources=resources,
                device=device,
                micro_batch=micro_batch,
                meeting=Path(folder) / "meeting",
            )
            try:
                run_ranks(work, num_ranks=resources.ranks, report=report)
            except MemoryShortageError as shortage:
                micro_batch = shortage.micro_batch
                micro_batch.halve(shortage)
            else:
                return
        report(
            f"memory ran out on a rank; starting again with sub-batches of {micro_batch.tokens} tokens"
        )


def _train_rank(
    train: TrainRank,
    *,
    resources: Resources,
    device: str,
    micro_batch: MicroBatch | None,
    meeting: Path,
    rank: int,
    report: Callable[[str], None],
) -> None:
    own = rank_device(device, rank=rank, num_ranks=resources.ranks)
    with joined(
        resources.strategy, rank=rank, num_ranks=resources.ranks, device=own, meeting=meeting
    ) as ranks:
        train(ranks=ranks, device=str(own), micro_batch=micro_batch, report=report)

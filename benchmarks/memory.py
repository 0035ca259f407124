"""Peak memory of training: of a global batch with gradient caching, and of the reconstruction loss.

Run as `make bench`. Each figure is the peak resident memory of a process of its own, above what it held
before the work began. Rows compare a global batch of 512 pairs with one of 64, and our vocabulary loss
with the plain one over all logits.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.measure import Row, compare_rates, describe, report
from benchmarks.train import make_base, make_pairs, our_step
from harness.models.dropout import use_text_dropout
from harness.models.fused_lora import fuse_lora
from harness.models.lora import add_lora
from harness.models.network import load_network
from harness.study.recipe import TuningConfig
from harness.training.memory import MicroBatch
from harness.training.vocabulary import summed_cross_entropy
from tests import fetch

TARGETS, VOCABULARY, WIDTH = 1024, 49_152, 576
_GIB = 1 << 30


def resident_bytes(field: str) -> int:
    """Return `VmRSS` (now) or `VmHWM` (at most so far) of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"the system does not tell {field}")


def peak_of(work: Callable[[], object]) -> float:
    """Return how much more memory than before `work` takes at most, in GiB."""
    # Forgets the peak of what came before.
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_bytes("VmRSS")
    work()
    return (resident_bytes("VmHWM") - before) / _GIB


def batch_peak(folder: Path, num_pairs: int) -> float:
    """Return the peak of one cached contrastive step, in GiB."""
    network = load_network(folder, device="cpu")
    add_lora(network.decoder, TuningConfig(), seed=0)
    use_text_dropout(network.decoder)
    fuse_lora(network.decoder)
    network.decoder.train()
    step = our_step(network, make_pairs(num_pairs), MicroBatch(tokens=2048, graph_tokens=0))
    return peak_of(step)


def loss_step(*, plain: bool, vocabulary: int) -> Callable[[], object]:
    """Return a function that computes the loss of 1,024 targets and its gradient by states."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(TARGETS, WIDTH, generator=generator).requires_grad_()
    head = torch.randn(vocabulary, WIDTH, generator=generator) / WIDTH**0.5
    targets = torch.randint(0, vocabulary, (TARGETS,), generator=generator)

    def step() -> None:
        hidden.grad = None
        if plain:
            loss = torch.nn.functional.cross_entropy(hidden @ head.T, targets, reduction="sum")
        else:
            loss = summed_cross_entropy(hidden, head, targets)
        loss.backward()

    return step


def measure(*arguments: str) -> float:
    """Return what a process of its own measures."""
    command = [sys.executable, "-m", "benchmarks.memory", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def _row(name: str, ours: float, peer: float) -> Row:
    return Row(
        name=name,
        unit="GiB",
        ours=round(ours, 3),
        peer=round(peer, 3),
        ratio=round(ours / peer, 3),
        peak_share=None,
        repeats=1,
        machine=describe(),
    )


def main() -> None:
    """Measure and report."""
    if len(sys.argv) > 1:
        kind, *rest = sys.argv[1:]
        if kind == "batch":
            found = batch_peak(Path(rest[0]), int(rest[1]))
        else:
            found = peak_of(loss_step(plain=kind == "plain", vocabulary=int(rest[0])))
        print(json.dumps(found))  # noqa: T201
        return
    fetch.main()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        make_base(Path(folder))
        large, small = (measure("batch", folder, str(size)) for size in (512, 64))
        rows.append(_row("cached step, peak at 512 pairs over that at 64, 6 layers", large, small))
    for vocabulary in (VOCABULARY, 4 * VOCABULARY):
        ours, plain = (measure(kind, str(vocabulary)) for kind in ("ours", "plain"))
        rows.append(
            _row(f"reconstruction loss, {TARGETS} targets, vocabulary {vocabulary}", ours, plain)
        )
    rows.append(
        compare_rates(
            f"reconstruction loss against all logits, {TARGETS} targets, vocabulary {VOCABULARY}",
            unit="targets/s",
            amount=TARGETS,
            ours=loss_step(plain=False, vocabulary=VOCABULARY),
            peer=loss_step(plain=True, vocabulary=VOCABULARY),
            repeats=5,
            # Logits, and the gradient by states; the head is frozen here.
            flops=2 * 2.0 * TARGETS * VOCABULARY * WIDTH,
        )
    )
    report("memory", rows)


if __name__ == "__main__":
    main()

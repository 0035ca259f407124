"""Training that stops on the way and is gone on with by another step.

Owns what passes from one to the other: the checkpoints and the curves. The rule: it is a way to
save time and nothing else; where it is missing, damaged or of another training, training starts anew.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from harness.training.checkpoints import CHECKPOINTS
from harness.training.curves import METRICS


def keep_for_later(scratch: Path, output: Path) -> None:
    """Put the newest checkpoint of a run, and the best step so far, into its model folder."""
    newest = max((scratch / CHECKPOINTS).glob("step-*"))
    for folder in (newest, *(scratch / CHECKPOINTS).glob("best-*")):
        shutil.copytree(folder, output / CHECKPOINTS / folder.name)


def bring_back(folder: Path, scratch: Path, *, report: Callable[[str], None]) -> None:
    """Put the checkpoint of an earlier rung where training looks for its own.

    Args:
        folder: The model folder of the rung; nothing is done where it is gone.
        scratch: The run's; a checkpoint that is there already is newer.
        report: Takes a line for people.
    """
    own = scratch / CHECKPOINTS
    if any(own.glob("step-*")):
        return
    kept = folder / CHECKPOINTS
    if not any(kept.glob("step-*")) or not (folder / METRICS).is_file():
        report(f"{folder.name} has no checkpoint to go on from")
        return
    aside = scratch / ".brought"
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(kept, aside)
    shutil.copyfile(folder / METRICS, scratch / METRICS)
    shutil.rmtree(own, ignore_errors=True)
    aside.rename(own)
    report(f"going on from the rung {folder.name}")

"""The check that the trackers of a study can be started.

Owns when it is made: before anything runs. The rule: a library that is missing is told by `plan` and
`run` with the command that brings it, not hours later by the first training step.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.execution.states import PlannedStep

_TRAINING = {"reconstruct", "contrast"}


def check_tracking(planned: Sequence[PlannedStep]) -> None:
    """Refuse trackers whose libraries are not installed, where a training would start them.

    Args:
        planned: The steps of a study; those that are done start nothing.

    Raises:
        HarnessError: Naming the tracker and the command that installs it.
    """
    wanted = {
        name
        for one in planned
        if one.state == "run" and one.step.stage in _TRAINING
        for name in one.step.resources.trackers
    }
    if wanted:
        from harness.training.trackers import check_trackers

        check_trackers(sorted(wanted))

"""The mirrors of a command, and the check that nothing is missing from them.

Owns the order: `--mirror` or HARNESS_MIRROR, else the study's own `mirrors`. The rule: what is missing
is said before anything runs, all of it at once.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from harness.execution.states import PlannedStep
from harness.study import Study


def chosen_mirrors(given: Sequence[Path] | None, study: Study) -> tuple[Path, ...]:
    """Return the mirrors to use, absolute."""
    return tuple(mirror.expanduser().absolute() for mirror in given or study.mirrors)


def check_plan(
    name: str, planned: Sequence[PlannedStep], mirrors: Sequence[Path], *, profile: str | None
) -> None:
    """Refuse mirrors without what the steps that would run need.

    Args:
        name: The study, as the user called it.
        planned: Its steps; those that are done need nothing.
        mirrors: The mirrors; none means the hub.
        profile: The profile in use.

    Raises:
        DataError: Naming all that is missing and the command that brings it.
    """
    if not mirrors:
        return
    from harness.data.mirrors import check_needs
    from harness.plan.needs import hub_needs

    words = ["harness", "prefetch", name, *(["--profile", profile] if profile else [])]
    command = shlex.join([*words, "--to", str(mirrors[0])])
    needs = hub_needs(one.step for one in planned if one.state != "reuse")
    check_needs(needs, mirrors, command=command)

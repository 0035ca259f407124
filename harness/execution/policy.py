"""When a step is held back, tried again or given up.

Owns the decisions of `study.queueing.QueuePolicy`, each as a small object that is told what happens.
The rule: what one step meets (memory, a machine that goes away, a loss that is not finite) costs that
step alone; what many meet alike is found out by few.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from msgspec import structs

from harness.execution.failures import Failure, FailureKind
from harness.plan import Step
from harness.study.document import Resources
from harness.study.queueing import QueuePolicy, Retries

_GIB = 1 << 30
_MANY = 8
"""Steps of a stage from which on the first goes alone."""
_MOST_REBUILDS = 3
"""A disk that damages whatever is written to it is not to keep a study busy for ever."""
_UNLIMITED_TOKENS = 2048
"""Tokens of a sub-batch where a study leaves them to a forecast; the forecast goes up to twice that."""
_OF_ONE_STEP = frozenset({"preempted", "disk", "non-finite"})
"""Kinds of failure that say nothing of other steps."""


class Retrying:
    """Counts tries against each kind's budget.

    Args:
        budgets: How often a step is tried again.
    """

    def __init__(self, budgets: Retries) -> None:
        self._budgets = budgets
        self._tries: Counter[tuple[str, FailureKind]] = Counter()
        self._lowered: dict[str, Resources] = {}
        self._rebuilds: Counter[str] = Counter()

    def allows(self, step: Step, kind: FailureKind) -> bool:
        """Return whether a step that failed is to be tried again, and count it."""
        key = (step.fingerprint, kind)
        budget: int = getattr(self._budgets, kind.replace("-", "_"))
        if self._tries[key] >= budget:
            return False
        self._tries[key] += 1
        if kind in {"cuda-oom", "host-oom"}:
            resources = self.next_try(step).resources
            tokens = resources.micro_batch or 2 * _UNLIMITED_TOKENS
            self._lowered[step.fingerprint] = replace(resources, micro_batch=max(1, tokens // 2))
        return True

    def forget(self, step: Step) -> None:
        """Give a step its whole budget again; memory that ran out stays known."""
        for key in [key for key in self._tries if key[0] == step.fingerprint]:
            del self._tries[key]

    def allows_rebuild(self, step: Step) -> bool:
        """Return whether damaged inputs of a step are to be made anew, and count it."""
        self._rebuilds[step.fingerprint] += 1
        return self._rebuilds[step.fingerprint] <= _MOST_REBUILDS

    def next_try(self, step: Step) -> Step:
        """Return a step with what it gets in its next try."""
        return structs.replace(step, resources=self._lowered.get(step.fingerprint, step.resources))


class Canaries:
    """Lets the first of many steps of a stage go alone.

    Args:
        seconds: After so long, a step that has not ended counts as well.
        clock: Seconds that never go back.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._known: Counter[str] = Counter()
        self._proven: set[str] = set()
        self._flying: dict[str, dict[str, float]] = defaultdict(dict)

    def added(self, step: Step) -> None:
        """Another step of a stage is there."""
        self._known[step.stage] += 1

    def started(self, step: Step) -> None:
        """A step has started."""
        if self._seconds > 0 and step.stage not in self._proven:
            self._flying[step.stage][step.fingerprint] = self._clock()

    def ended(self, step: Step, *, is_well: bool) -> None:
        """A step has ended, or was found to be done before."""
        if is_well:
            self._proven.add(step.stage)
            self._flying.pop(step.stage, None)
        else:
            self._flying[step.stage].pop(step.fingerprint, None)

    def held(self) -> dict[str, float]:
        """Return stage -> seconds until it counts as well, of the stages that wait for their first."""
        now = self._clock()
        found = {}
        for stage, flying in self._flying.items():
            if flying and self._known[stage] >= _MANY:
                left = min(flying.values()) + self._seconds - now
                if left > 0:
                    found[stage] = left
        return found


class Breaker:
    """Gives up what would fail as others did.

    Steps that failed with one signature have some of their configuration and inputs in common. After
    enough of them, steps of that stage which have all of it are not tried: if one task's data are
    missing, steps of that task; if a shared function is broken, all. Each further failure narrows down
    what they have in common.

    Args:
        max_same: Failures of one signature after which the breaker opens.
    """

    def __init__(self, max_same: int) -> None:
        self._max_same = max_same
        self._failed: dict[tuple[str, str], list[Step]] = defaultdict(list)
        self._common: dict[tuple[str, str], set[tuple[str, str]]] = {}
        self._messages: dict[tuple[str, str], str] = {}

    def failed(self, step: Step, failure: Failure) -> None:
        """A step has failed for good."""
        if failure.kind in _OF_ONE_STEP:
            return
        key = (step.stage, failure.signature)
        features = _features(step)
        self._failed[key].append(step)
        self._common[key] = self._common.get(key, features) & features
        self._messages[key] = failure.message.partition("\n")[0]

    def forget(self, step: Step) -> None:
        """Whatever failed like this step counts no more."""
        features = _features(step)
        for key in [key for key in self._failed if key[0] == step.stage]:
            if step in self._failed[key] or self._common[key] <= features:
                del self._failed[key], self._common[key], self._messages[key]

    def verdict(self, step: Step) -> tuple[str, str] | None:
        """Return why a step is not to be tried and the step that failed last; None if it may."""
        for key, failed in self._failed.items():
            if key[0] != step.stage or len(failed) < self._max_same:
                continue
            if self._common[key] <= _features(step):
                message = f"{len(failed)} steps like it failed alike: {self._messages[key]}"
                return message, failed[-1].fingerprint
        return None


class Floor:
    """Says when the disk is too full to start anything.

    Args:
        folder: On the disk in question.
        min_free_gib: Space that must be free.
    """

    def __init__(self, folder: Path, min_free_gib: float) -> None:
        self._folder = folder
        self._min_free_gib = min_free_gib

    def lack(self) -> str:
        """Return what is lacking, for people; empty if there is space."""
        if self._min_free_gib == 0:
            return ""
        folder = next(path for path in (self._folder, *self._folder.parents) if path.exists())
        free = shutil.disk_usage(folder).free / _GIB
        if free >= self._min_free_gib:
            return ""
        return (
            f"{free:.2f} GiB are free for {self._folder}, less than `queue.min_free_gib` "
            f"({self._min_free_gib:g}): waiting for space"
        )


class Policies:
    """All of them, for one session."""

    def __init__(self, policy: QueuePolicy, folder: Path) -> None:
        self.retrying = Retrying(policy.retries)
        self.canaries = Canaries(policy.canary_seconds)
        self.breaker = Breaker(policy.max_same_errors)
        self.floor = Floor(folder, policy.min_free_gib)
        self.held_back = ""
        """Why nothing is to start, as others asked; empty if nobody did."""

    def lack(self) -> str:
        """Return why nothing is to start now; empty if something may."""
        return self.held_back or self.floor.lack()

    def forget(self, step: Step) -> None:
        """A step is to be tried as if it had never failed."""
        self.retrying.forget(step)
        self.breaker.forget(step)


def _features(step: Step) -> set[tuple[str, str]]:
    """Return what may tell a step from others: fields of its configuration, and its inputs."""
    found = {(f"input {role}", name) for role, name in step.inputs.items()}
    pending: list[tuple[str, Any]] = [("", step.config)]
    for path, value in pending:
        if isinstance(value, Mapping):
            pending += [(f"{path}.{key}", item) for key, item in value.items()]
        else:
            found.add((path, repr(value)))
    return found

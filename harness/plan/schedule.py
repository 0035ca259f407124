"""How long a graph of steps takes on a number of devices.

Owns list scheduling: whenever a device is free, the most urgent step that can start takes it. The rule:
the order is that of the runner, so that the forecast is of what will happen, up to the durations.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush

from harness.plan.graph import Plan


class Schedule:
    """The steps that would run, in the order in which a runner takes them.

    Args:
        plan: The steps.
        seconds: Fingerprint -> expected duration; steps that are not named are there already.
        devices: GPUs, or processor cores where no step asks for a GPU. A step without a GPU among others
            with one waits for its inputs alone; one that asks for more than there is takes everything.
    """

    def __init__(self, plan: Plan, seconds: Mapping[str, float], *, devices: float) -> None:
        urgencies = plan.urgencies(seconds)
        # From here on a step is its place in this order: by urgency, and by name where that is equal.
        self._order = sorted(seconds)
        self._order.sort(key=urgencies.__getitem__, reverse=True)
        places = {name: place for place, name in enumerate(self._order)}
        steps = [plan.steps[name] for name in self._order]
        with_gpus = any(step.resources.gpus for step in steps)
        self._devices = devices
        self._needs = [
            min(devices, step.resources.gpus if with_gpus else float(step.resources.cpus))
            for step in steps
        ]
        self._dependants: list[list[int]] = [[] for _ in steps]
        self._missing = [0] * len(steps)
        for place, step in enumerate(steps):
            for needed in step.needs:
                if (before := places.get(needed)) is not None:
                    self._dependants[before].append(place)
                    self._missing[place] += 1

    def length(self, seconds: Mapping[str, float]) -> float:
        """Return when the last step ends, with these durations and the same order."""
        missing, needs, dependants = list(self._missing), self._needs, self._dependants
        durations = [seconds[name] for name in self._order]
        # In order, and so a heap already.
        ready = [place for place, count in enumerate(missing) if not count]
        running: list[tuple[float, int]] = []
        now, free = 0.0, self._devices
        while ready or running:
            while ready and needs[ready[0]] <= free + 1e-9:
                place = heappop(ready)
                free -= needs[place]
                heappush(running, (now + durations[place], place))
            now, place = heappop(running)
            free += needs[place]
            for after in dependants[place]:
                missing[after] -= 1
                if not missing[after]:
                    heappush(ready, after)
        return now

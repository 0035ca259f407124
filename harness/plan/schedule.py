"""How long a graph of steps takes on a number of devices.

Owns list scheduling: whenever a device is free, the most urgent step that can start takes it. The rule:
the order is that of the runner, so that the forecast is of what will happen, up to the durations.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

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
        todo = {name: plan.steps[name] for name in seconds}
        with_gpus = any(step.resources.gpus for step in todo.values())
        self._devices = devices
        self._needs = {
            name: min(devices, step.resources.gpus if with_gpus else float(step.resources.cpus))
            for name, step in todo.items()
        }
        self._dependants: dict[str, list[str]] = {name: [] for name in todo}
        self._missing = dict.fromkeys(todo, 0)
        for name, step in todo.items():
            for needed in step.needs:
                if needed in todo:
                    self._dependants[needed].append(name)
                    self._missing[name] += 1
        urgencies = plan.urgencies(seconds)
        order = sorted(todo, key=lambda name: (-urgencies[name], name))
        self._rank = {name: place for place, name in enumerate(order)}
        self._order = order

    def length(self, seconds: Mapping[str, float]) -> float:
        """Return when the last step ends, with these durations and the same order."""
        missing, needs, order, rank = dict(self._missing), self._needs, self._order, self._rank
        ready = [rank[name] for name, count in missing.items() if not count]
        heapq.heapify(ready)
        running: list[tuple[float, int]] = []
        now, free = 0.0, self._devices
        while ready or running:
            while ready and needs[order[ready[0]]] <= free + 1e-9:
                place = heapq.heappop(ready)
                free -= needs[order[place]]
                heapq.heappush(running, (now + seconds[order[place]], place))
            now, place = heapq.heappop(running)
            free += needs[order[place]]
            for after in self._dependants[order[place]]:
                missing[after] -= 1
                if not missing[after]:
                    heapq.heappush(ready, rank[after])
        return now

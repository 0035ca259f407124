"""The runs that are under way on a store, and what is asked of them.

Owns the folder `runs/`: for each run a lease (whose counter says that it lives), a description, whether
it has steps that find no room, and what others ask of it. The rule: nobody acts on another's run but by
asking; whoever runs it looks once a second, obeys, and takes its files away at the end. What a dead run
leaves is swept by the next.

    runs/<name>.<generation>    the lease
    runs/<name>.json            study, priority, what it may use, and which steps it is to bring about
    runs/<name>.short           while it has steps ready that find no room
    runs/<name>.ask-<random>    one thing that is asked of it
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal

from harness.errors import StoreError
from harness.execution.journal import utc_now
from harness.execution.leases import Held, Lease, Leases
from harness.execution.location import Location, located

FOLDER = "runs"

Verb = Literal["cancel", "retry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that is under way, as it describes itself."""

    name: str
    study: str
    profile: str
    """Empty without one."""
    priority: int
    cpus: float
    """What it may use; infinite where nobody counts."""
    gpus: float
    started: str
    """UTC, ISO 8601."""
    steps: frozenset[str]
    """Fingerprints of the steps that it is to bring about."""
    where: str = ""
    """Host and process, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One thing that is asked of a run."""

    verb: Verb
    steps: frozenset[str] | None
    """Fingerprints; all of the run's when None."""
    why: str
    """For people."""


class Runs:
    """The runs of a store.

    Args:
        home: Where the store is.
    """

    def __init__(self, home: Path | Location) -> None:
        self._place = located(home).below(FOLDER)
        self.leases = Leases(self._place.marks())
        self._known: dict[str, tuple[Hashable, Run]] = {}

    def living(self) -> list[Run]:
        """Return the runs whose holder is not known to be dead, the oldest first."""
        found = []
        for name, held in self.leases.living().items():
            if (run := self._describe(name, held)) is not None:
                found.append(run)
        return sorted(found, key=lambda run: (run.started, run.name))

    def is_short(self, run: Run) -> bool:
        """Return whether a run has steps that are ready and find no room."""
        return self._place.has(f"{run.name}.short")

    def is_to_end(self, run: Run) -> bool:
        """Return whether a run was asked for its end, and has not obeyed yet."""
        names = self._place.names(f"{run.name}.ask-*")
        asks = (_read_ask(self._place.read(name)) for name in names)
        return any(ask is not None and ask.verb == "cancel" and ask.steps is None for ask in asks)

    def ask(self, run: Run, ask: Ask) -> None:
        """Ask something of a run."""
        text = json.dumps(
            {
                "verb": ask.verb,
                "steps": None if ask.steps is None else sorted(ask.steps),
                "why": ask.why,
            }
        )
        self._place.write(f"{run.name}.ask-{secrets.token_hex(6)}", text.encode())

    def begin(
        self,
        *,
        study: str,
        profile: str,
        priority: int,
        cpus: float,
        gpus: float,
        steps: Collection[str],
    ) -> OwnRun:
        """Make a run of this process known.

        Args:
            study: Its study.
            profile: Under which profile; empty without one.
            priority: Runs of higher priority get room first.
            cpus: Processor cores that it may use.
            gpus: Devices that it may use.
            steps: Fingerprints of the steps that it is to bring about.
        """
        self._sweep()
        name = secrets.token_hex(8)
        about: dict[str, Any] = {
            "study": study,
            "profile": profile,
            "priority": priority,
            # JSON has no infinity.
            "cpus": cpus if cpus < math.inf else None,
            "gpus": gpus if gpus < math.inf else None,
            "started": utc_now(),
        }
        own = OwnRun(self._place, name, about)
        own.describe(steps=steps)
        own.hold(self.leases)
        return own

    def remove(self, run: Run) -> None:
        """Take away what a run left that was given up: its counter stood still for too long."""
        if (held := self.leases.held(run.name)) is not None:
            self.leases.remove(held)
        _clear(self._place, run.name)

    def _describe(self, name: str, held: Held) -> Run | None:
        # It is replaced as a whole when the run grows.
        version = self._place.version(f"{name}.json")
        if name not in self._known or self._known[name][0] != version:
            text = self._place.read(f"{name}.json")
            if text is None:
                # It is ending at this moment.
                return None
            try:
                self._known[name] = version, _read(json.loads(text), name, held)
            except (ValueError, KeyError):
                return None
        return self._known[name][1]

    def _sweep(self) -> None:
        """Take away what runs left that are known to be dead."""
        for name, held in self.leases.all().items():
            if held.is_dead:
                _clear(self._place, name)
                self.leases.remove(held)


class OwnRun:
    """A run of this process, as others see it."""

    def __init__(self, place: Location, name: str, about: Mapping[str, Any]) -> None:
        self._place = place
        self.name = name
        self._about = about
        self._lease: Lease | None = None
        self._is_short = False

    def describe(self, *, steps: Collection[str]) -> None:
        """Say which steps the run is to bring about, by fingerprint."""
        text = json.dumps({**self._about, "steps": sorted(steps)})
        self._place.write(f"{self.name}.json", text.encode())

    def hold(self, leases: Leases) -> None:
        """Begin to show signs of life, once the run is described."""
        self._lease = leases.acquire(self.name)
        if self._lease is None:
            raise StoreError(
                f"{self._place.describe()}: a random name was taken already", cure="run it again"
            )

    def take_asks(self) -> Iterator[Ask]:
        """Yield what was asked of this run since the last call; others see an ask until it is obeyed."""
        for name in self._place.names(f"{self.name}.ask-*"):
            if (ask := _read_ask(self._place.read(name))) is not None:
                yield ask
            self._place.remove(name)

    def show_short(self, is_short: bool) -> None:  # noqa: FBT001 - one fact
        """Say whether steps are ready that find no room."""
        if is_short == self._is_short:
            return
        self._is_short = is_short
        if is_short:
            self._place.write(f"{self.name}.short", b"")
        else:
            self._place.remove(f"{self.name}.short")

    def end(self) -> None:
        """The run is over."""
        _clear(self._place, self.name)
        if self._lease is not None:
            self._lease.release()


def _read_ask(text: bytes | None) -> Ask | None:
    """Return an ask; None where there is none any more, or none that can be read."""
    try:
        found = json.loads(text or b"")
        steps = None if found["steps"] is None else frozenset(found["steps"])
        return Ask(verb=found["verb"], steps=steps, why=found["why"])
    except (ValueError, KeyError):
        return None


def _read(about: Mapping[str, Any], name: str, held: Held) -> Run:
    return Run(
        name=name,
        study=about["study"],
        profile=about["profile"],
        priority=about["priority"],
        cpus=math.inf if about["cpus"] is None else about["cpus"],
        gpus=math.inf if about["gpus"] is None else about["gpus"],
        started=about["started"],
        steps=frozenset(about["steps"]),
        where=held.describe(),
    )


def _clear(place: Location, name: str) -> None:
    for each in place.names(f"{name}.*"):
        if not PurePath(each).suffix[1:].isdigit():
            place.remove(each)

"""How long each step of a plan takes, and what it leaves.

Owns the forecast of single steps: from recorded durations of like steps where there are any, scaled
where they did another amount of work, else from floating point operations and the speed of devices. The
rule: every estimate is a range and says what it is based on, and the less a record is like the step, the
wider the range.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.identity import canonical_json
from harness.plan.ranges import NOTHING, Range, inverse, product
from harness.plan.work import Surroundings, Work, model_bytes, work_of

if TYPE_CHECKING:
    from harness.plan.graph import Plan, Step

Basis = Literal[
    "records of like steps",
    "records, scaled by tokens",
    "records, scaled by size",
    "FLOPs",
    "rule of thumb",
]

_OVERHEAD_SECONDS = Range(1.5, 20.0)
"""Of starting a step: libraries, weights, data."""
_LIGHT_SECONDS = {
    "download": Range(2.0, 300.0),
    "source": Range(1.0, 60.0),
    "base": Range(5.0, 300.0),
}
_OTHER_SECONDS = Range(2.0, 600.0)
_GPU_FLOPS = Range(1.5e13, 3e14)
"""Reached a second: from a small inference card to a large training card, at a third of their sheets."""
_REACHED_SHARE = Range(0.15, 0.5)
"""Of what a device's sheet says."""
_CORE_FLOPS = Range(5e9, 4e10)
"""Reached a second by one processor core in float32."""
_SPREAD: dict[Basis, float] = {
    "records of like steps": 1.25,
    "records, scaled by tokens": 1.6,
    "records, scaled by size": 3.0,
}
_SCORE_BYTES = Range(1e4, 1e7)
_ADAPTER_SHARE = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A step that was run once, with what it stood on."""

    stage: str
    config: Mapping[str, Any]
    around: Surroundings
    seconds: float
    num_bytes: int
    is_on_gpu: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCost:
    """What one step is expected to take and leave."""

    seconds: Range
    tokens: Range
    num_bytes: Range
    basis: Basis


def step_costs(
    plan: Plan, *, recorded: Sequence[Recorded] = (), teraflops: float | None = None
) -> dict[str, StepCost]:
    """Return fingerprint -> cost of every step.

    Args:
        plan: The plan.
        recorded: Steps that were run before, of this study or others.
        teraflops: What one device does a second by its maker's sheet; a wide range without it.
    """
    costs = _Costs(plan, recorded, teraflops)
    return {name: costs.of(step) for name, step in plan.steps.items()}


@dataclass(frozen=True, slots=True)
class _Known:
    """A recorded step with its work."""

    record: Recorded
    base: str
    work: Work | None
    what: Any


class _Costs:
    """Costs of the steps of one plan; like steps are estimated once."""

    def __init__(self, plan: Plan, recorded: Sequence[Recorded], teraflops: float | None) -> None:
        self._plan = plan
        self._teraflops = teraflops
        self._known: dict[tuple[str, bool], list[_Known]] = defaultdict(list)
        for one in recorded:
            work = work_of(one.stage, one.config, one.around)
            known = _Known(
                one, _base_key(one.around), work, _what(one.stage, one.config, one.around.source)
            )
            self._known[one.stage, one.is_on_gpu].append(known)
        self._around: dict[str, tuple[str, str]] = {}
        self._costs: dict[tuple[Any, ...], StepCost] = {}
        self._of_object: dict[tuple[Any, ...], StepCost] = {}

    def of(self, step: Step) -> StepCost:
        base, source = self._stands_on(step)
        # The plan keeps configurations and resources, which many steps share: one object is one key.
        key = (id(step.config), step.stage, base, source, id(step.resources), bool(step.after))
        if (known := self._of_object.get(key)) is None:
            known = self._of_object[key] = self._of_kind(step, base, source)
        return known

    def _of_kind(self, step: Step, base: str, source: str) -> StepCost:
        settings = self._plan.steps[source].config if source else None
        what = _what(step.stage, step.config, settings)
        key = (step.stage, base, source, what, id(step.resources), bool(step.after))
        if key not in self._costs:
            self._costs[key] = self._estimate(step, self._surroundings(base, source), what)
        return self._costs[key]

    def _stands_on(self, step: Step) -> tuple[str, str]:
        """Return the fingerprints of the base and the source behind a step, empty for none."""
        if (known := self._around.get(step.fingerprint)) is not None:
            return known
        steps = self._plan.steps
        base = step.fingerprint if step.stage == "base" else ""
        if (model := step.inputs.get("model")) is not None:
            base, _ = self._stands_on(steps[model])
        source = step.inputs.get("source", "")
        # What is cleaned or mined before has its texts from there; a mixture is no one's.
        while source and steps[source].stage != "source":
            source = steps[source].inputs.get("source", "")
        found = self._around[step.fingerprint] = base, source
        return found

    def _surroundings(self, base: str, source: str) -> Surroundings:
        steps = self._plan.steps
        return Surroundings(
            base=steps[base].config if base else None,
            base_path=steps[base].bindings.get("path", "") if base else "",
            source=steps[source].config if source else None,
            source_path=steps[source].bindings.get("path", "") if source else "",
        )

    def _estimate(self, step: Step, around: Surroundings, what: Any) -> StepCost:
        work = work_of(step.stage, step.config, around, is_spared=bool(step.after))
        known = self._known.get((step.stage, step.resources.gpus > 0), ())
        basis, like = _most_like(known, base=_base_key(around), work=work, what=what)
        if basis is None:
            seconds, guessed = self._by_flops(step, work)
            return StepCost(
                seconds=seconds,
                tokens=work.tokens if work else NOTHING,
                num_bytes=_bytes(step, around),
                basis=guessed,
            )
        scaled = [_scale(one, work, by=basis) for one in like]
        spread = _SPREAD[basis] if len(like) > 2 else _SPREAD[basis] * 1.2
        sizes = [float(one.record.num_bytes) for one in like]
        same_base = basis != "records, scaled by size"
        return StepCost(
            seconds=_hull(scaled).times(1 / spread, spread),
            tokens=work.tokens if work else NOTHING,
            num_bytes=Range(min(sizes), max(sizes)) if same_base else _bytes(step, around),
            basis=basis,
        )

    def _by_flops(self, step: Step, work: Work | None) -> tuple[Range, Basis]:
        if work is None:
            return _LIGHT_SECONDS.get(step.stage, _OTHER_SECONDS), "rule of thumb"
        gpus = step.resources.gpus
        if gpus:
            device = (
                _GPU_FLOPS if self._teraflops is None else _REACHED_SHARE.times(self._teraflops * 1e12)
            )
            # A fraction of a device is the whole of it while the others rest.
            rate = device.times(gpus, max(gpus, 1.0))
        else:
            rate = _CORE_FLOPS.times(step.resources.cpus)
        return _OVERHEAD_SECONDS + product(work.flops, inverse(rate)), "FLOPs"


def _base_key(around: Surroundings) -> str:
    if around.base is None:
        return ""
    return canonical_json({name: around.base[name] for name in ("model", "checkpoint")})


def _what(stage: str, config: Mapping[str, Any], source: Mapping[str, Any] | None) -> Any:
    """Return what decides a step's work beside its base, as a key."""
    if stage in {"reconstruct", "contrast"}:
        settings = config["reconstruction" if stage == "reconstruct" else "contrastive"]
        names = ("steps", "global_batch", "query_length", "document_length")
        amounts = tuple(settings[name] for name in names)
        return (*amounts, settings.get("num_negatives", 0), settings["tuning"]["method"])
    if stage in {"evaluate", "embed"}:
        limits = (tuple(config.get(name) or ()) for name in ("splits", "subsets"))
        held_out = (source or {}).get("num_test")
        parts = config.get("num_shards")
        return (config["evaluator"], config["task"], "lexical" in config, held_out, parts, *limits)
    if stage == "mine":
        return canonical_json(config)
    return canonical_json(config) if stage == "base" else None


def _most_like(
    known: Iterable[_Known], *, base: str, work: Work | None, what: Any
) -> tuple[
    Literal["records of like steps", "records, scaled by tokens", "records, scaled by size"] | None,
    list[_Known],
]:
    """Return the records that are most like a step, and in which way they are."""
    same_base = [one for one in known if one.base == base]
    like = [one for one in same_base if one.what == what]
    if like:
        return "records of like steps", like
    if work is None:
        return None, []
    scalable = [one for one in same_base if one.work is not None]
    if scalable:
        return "records, scaled by tokens", scalable
    others = [one for one in known if one.work is not None]
    return ("records, scaled by size", others) if others else (None, [])


def _scale(one: _Known, work: Work | None, *, by: Basis) -> Range:
    """Return a record's seconds for another amount of work; part of them may not grow with it."""
    seconds = one.record.seconds
    if by == "records of like steps" or work is None or one.work is None:
        return Range(seconds, seconds)
    mine, theirs = (
        (work.tokens.high, one.work.tokens.high)
        if by == "records, scaled by tokens"
        else (work.flops.middle, one.work.flops.middle)
    )
    ratio = mine / theirs if theirs else 1.0
    fixed = min(_OVERHEAD_SECONDS.high, seconds / 2)
    return _hull([Range(end, end) for end in (seconds * ratio, fixed + (seconds - fixed) * ratio)])


def _hull(ranges: Sequence[Range]) -> Range:
    return Range(min(one.low for one in ranges), max(one.high for one in ranges))


def _bytes(step: Step, around: Surroundings) -> Range:
    if step.stage in {"base", "contrast", "reconstruct"}:
        whole = model_bytes(around)
        settings = step.config.get("contrastive") or step.config.get("reconstruction") or {}
        tuning = settings.get("tuning", {"method": "full"})
        # Beside adapters lie links to the base's own weights, which take room where links cannot be.
        if tuning["method"] == "lora" and not tuning["merge"]:
            return Range(whole.low * _ADAPTER_SHARE, whole.high)
        return whole
    return _SCORE_BYTES if step.stage == "evaluate" else Range(1e4, 1e9)

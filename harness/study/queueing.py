"""How a study's steps are queued: tries, pauses and when to give up.

Owns the field `queue`. The rule: nothing here is part of a result's identity.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from harness.study.recipe import STRICT, Count, PositiveInt

Amount = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a step is tried again within one run, for each kind of failure."""

    __pydantic_config__ = STRICT

    preempted: Count = 10
    """The machine, node or process was taken away; the step goes on from its newest checkpoint."""
    cuda_oom: Count = 1
    """A device's memory ran out. Each try has half the `micro_batch` of the one before."""
    host_oom: Count = 2
    """The machine's memory ran out. Each try has half the `micro_batch` of the one before."""
    disk: Count = 3
    """The disk was full; tried again once there is `min_free_gib`."""
    non_finite: Count = 0
    """A loss or gradient was not a number; the same again would give the same."""
    missing: Count = 0
    """Evaluation data was not there."""
    data: Count = 0
    error: Count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePolicy:
    """When steps are held back, tried again and given up."""

    __pydantic_config__ = STRICT

    retries: Retries = field(default_factory=Retries)
    min_free_gib: Amount = 1.0
    """Free space below which no step starts; the queue goes on when there is space again."""
    canary_seconds: Amount = 120.0
    """Of many steps of one stage the first runs alone, until it has ended well or has run for so long,
    before others start. 0 starts all at once."""
    max_same_errors: PositiveInt = 3
    """Failures of one kind and place after which steps that have everything in common with those that
    failed are not tried any more."""

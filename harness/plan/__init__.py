"""Plans: a study's variants as one graph of steps, merged by fingerprint.

What is named here is loaded when it is first used: who asks how far a plan has come needs no studies.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.plan.compile import compile_plan
    from harness.plan.graph import Plan, PlanRow, Step

__all__ = ["Plan", "PlanRow", "Step", "compile_plan"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "compile" if name == "compile_plan" else "graph"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)

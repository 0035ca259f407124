"""The kinds of step: configuration and input folders in, one output folder out."""

from harness.stages.context import StepContext
from harness.stages.registry import STAGES, Stage

__all__ = ["STAGES", "Stage", "StepContext"]

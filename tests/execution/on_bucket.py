"""What the tests of a store in a bucket share."""

from __future__ import annotations

from pathlib import Path

from harness.execution.backends import InProcessBackend
from harness.execution.bucket_store import BucketStore
from harness.execution.homes import open_store
from harness.execution.runner import RunSummary, run_plan
from harness.plan import Plan


def opened(home: Path) -> BucketStore:
    """Return the store in a bucket."""
    found = open_store(home)
    assert isinstance(found, BucketStore)
    return found


def run_on(store: BucketStore, plan: Plan) -> RunSummary:
    """Run a plan in this process."""
    return run_plan(plan, store, InProcessBackend, progress=lambda *_: None)

"""Planning ten thousand variants, beside checking and hashing every variant whole.

Owns the made-up study. The peer reads every recipe and hashes every step of every variant from its
whole configuration, as is done where variants do not share their parts. Times are processor time:
planning has one thread, and other work on the machine does not count.
"""

from __future__ import annotations

import dataclasses
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.measure import Row, describe, report
from harness.execution.states import plan_states
from harness.execution.store import ArtifactStore
from harness.identity import fingerprint
from harness.plan import Plan, compile_plan
from harness.plan.comparability import confounded_pairs
from harness.plan.costs import step_costs
from harness.plan.forecast import forecast
from harness.study import Recipe, Study, load_study

NUM_LEVELS = 10
NUM_VARIANTS = NUM_LEVELS**4
LIMIT_SECONDS = 2.0
_STUDY = """\
name: ten-thousand
question: How long does it take to plan them?
bases:
  llama-1b: {hub: meta-llama/Llama-3.2-1B-Instruct, revision: 9213176726f574b556790deb65791e0c5aa438b6}
sources:
  pairs: {kind: files, path: pairs.jsonl}
recipe:
  model: {base: llama-1b}
  data: {source: pairs}
factors:
"""
_SUITES = "suites:\n  dev: {tasks: [SciFact]}\n"


def write_study(folder: Path) -> Path:
    """Write a study of four factors with ten levels each, crossed."""
    (folder / "pairs.jsonl").write_text('{"query": "a", "positive": "b"}\n')
    levels = {
        "reconstruction.steps": [100 * level for level in range(NUM_LEVELS)],
        "contrastive.temperature": [round(0.01 * (level + 1), 2) for level in range(NUM_LEVELS)],
        "contrastive.tuning.rank": [4 * (level + 1) for level in range(NUM_LEVELS)],
        "contrastive.learning_rate": [1e-5 * (level + 1) for level in range(NUM_LEVELS)],
    }
    factors = "".join(f"  {name}: {values}\n" for name, values in levels.items())
    path = folder / "ten-thousand.yaml"
    path.write_text(_STUDY + factors + _SUITES)
    return path


def plan_all(path: Path) -> tuple[Study, Plan]:
    """Load a study, compile it, and ask all that `harness plan` asks of it."""
    study = load_study(path)
    plan = compile_plan(study)
    plan_states(plan, ArtifactStore(path.parent / "store"))
    confounded_pairs(study, plan)
    forecast(plan, step_costs(plan), set(plan.steps), study)
    return study, plan


def plan_one_by_one(study: Study, plan: Plan) -> int:
    """Check every recipe and hash every step of every variant whole; return the number of steps."""
    adapter = TypeAdapter(Recipe)
    for variant in study.variants:
        for recipe in variant.recipes:
            adapter.validate_python(dataclasses.asdict(recipe))
    names = {
        fingerprint(plan.steps[name].payload)
        for row in plan.rows
        for member in row.members
        for name in (*plan.lineage(member.model), *member.evaluations.values())
    }
    return len(names)


def _seconds(function: Callable[[], object]) -> float:
    began = time.process_time()
    function()
    return time.process_time() - began


def _command_seconds(path: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "harness.cli", "plan", str(path)]
    home = str(path.parent / "store")
    subprocess.run([*command, "--home", home], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and write `results/benchmarks/plan.json`."""
    with tempfile.TemporaryDirectory() as name:
        path = write_study(Path(name))
        study, plan = plan_all(path)
        pairs = [
            (_seconds(lambda: plan_all(path)), _seconds(lambda: plan_one_by_one(study, plan)))
            for _ in range(3)
        ]
        whole = statistics.median(_command_seconds(path) for _ in range(3))
    mine, peer = (statistics.median(one[side] for one in pairs) for side in (0, 1))
    rows = [
        Row(
            name=f"{NUM_VARIANTS} variants loaded, compiled, compared and forecast",
            unit="variants/s",
            ours=round(NUM_VARIANTS / mine, 1),
            peer=round(NUM_VARIANTS / peer, 1),
            ratio=round(statistics.median(theirs / ours for ours, theirs in pairs), 3),
            peak_share=None,
            repeats=len(pairs),
            machine=describe(),
        ),
        Row(
            name=f"`harness plan` of {NUM_VARIANTS} variants, processor time; the peer is its limit",
            unit="s",
            ours=round(whole, 3),
            peer=LIMIT_SECONDS,
            ratio=round(LIMIT_SECONDS / whole, 3),
            peak_share=None,
            repeats=3,
            machine=describe(),
        ),
    ]
    report("plan", rows)


if __name__ == "__main__":
    main()

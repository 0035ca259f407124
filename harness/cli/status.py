"""`harness status`: how far a study has come."""

from __future__ import annotations

import sys
from collections import Counter

from harness.cli.options import HomeOption, JsonOption, ProfileOption, StudyArgument, print_json
from harness.execution.states import step_progress
from harness.execution.store import ArtifactStore, default_home
from harness.plan import compile_plan
from harness.study import find_study, load_study

_ORDER = ("done", "running", "failed", "preempted", "interrupted", "waiting")


def command(
    study: StudyArgument,
    profile: ProfileOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show which steps of a study are done, running, failed, preempted, interrupted or waiting.

    Works while the study runs, from any shell.

    Example: `harness status quickstart`
    """
    plan = compile_plan(load_study(find_study(study), profile=profile))
    store = ArtifactStore(home or default_home())
    rows = []
    for one in step_progress(plan, store):
        told = one.event is not None and one.state in {"failed", "preempted"}
        rows.append((one.step, one.state, one.event.message if told and one.event else ""))
    counts = Counter[str](state for _, state, _ in rows)
    if json:
        print_json(
            {
                "study": plan.study,
                "counts": {state: counts[state] for state in _ORDER},
                "steps": [
                    {"step": step.name, "label": step.label, "state": state, "message": message}
                    for step, state, message in rows
                ],
            }
        )
        return
    for step, state, message in rows:
        sys.stdout.write(f"{state:<12} {step.name}  {step.label}\n")
        if message:
            log = store.log_file(step.stage, step.fingerprint)
            sys.stdout.write(f"{'':<12} {message.splitlines()[0]}\n{'':<12} log: {log}\n")
    sys.stdout.write(", ".join(f"{counts[state]} {state}" for state in _ORDER if counts[state]) + "\n")

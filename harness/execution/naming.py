"""Which step somebody means.

Owns the finding of a step by the beginning of its name or fingerprint. The rule: steps are those of the
plans that a store has noted, and those that left a log; what could be more than one is not guessed.
"""

from __future__ import annotations

from harness.errors import HarnessError, did_you_mean
from harness.execution.noted import NotedStep, noted_plans
from harness.execution.store import ArtifactStore

_MAX_LISTED = 8


def known_steps(store: ArtifactStore) -> dict[str, NotedStep]:
    """Return fingerprint -> step, of all steps that a store knows by name."""
    found: dict[str, NotedStep] = {}
    for stage, name in store.logged():
        found[name] = NotedStep(name, stage, "", (), 1, 0.0)
    for plan in noted_plans(store.location):
        found.update(plan.steps)
    return found


def find_step(store: ArtifactStore, text: str) -> NotedStep:
    """Return the step whose name, or fingerprint, begins with `text`.

    Raises:
        HarnessError: If there is none, or more than one.
    """
    steps = known_steps(store)
    found = [step for step in steps.values() if _begins(step, text)]
    if len(found) == 1:
        return found[0]
    if not found:
        names = [step.name for step in steps.values()]
        raise HarnessError(
            f"no step of {store.address} is called {text!r}.{did_you_mean(text, names)}",
            cure="`harness status STUDY` lists steps that ran, `harness plan STUDY` all of a study",
        )
    listed = ", ".join(step.name for step in found[:_MAX_LISTED])
    more = ", ..." if len(found) > _MAX_LISTED else ""
    raise HarnessError(
        f"{text!r} may be any of {len(found)} steps: {listed}{more}",
        cure="give more of its name",
    )


def _begins(step: NotedStep, text: str) -> bool:
    whole = f"{step.stage}-{step.fingerprint}"
    return bool(text) and (whole.startswith(text) or step.fingerprint.startswith(text))

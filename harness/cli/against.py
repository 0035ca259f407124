"""The plan that `harness plan --against` names.

Owns the three ways to name one: a saved plan, a study file, a git revision of the study file. The rule:
a revision gives the study's text; data and prompts are read as they are now, and stages have today's
VERSION.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from harness.errors import StudyError
from harness.plan import compile_plan
from harness.plan.past import Past
from harness.study import load_study


def read_against(name: str, *, study: Path, profile: str | None) -> Past:
    """Return the steps of the plan that `name` means.

    Args:
        name: A JSON file that `harness plan --json` wrote, a study file, or a git revision (`REV:PATH`
            where the study's file had another name then).
        study: The study's own file.
        profile: The profile in use, for the other study too.

    Raises:
        StudyError: If it names none of these, or the study there does not hold.
    """
    path = Path(name)
    is_file = path.exists() or ":" not in name
    if is_file and path.suffix == ".json":
        return _saved(path)
    if is_file and path.suffix in {".yaml", ".yml"}:
        return Past.of_plan(compile_plan(load_study(path, profile=profile)))
    text = _at_revision(name, study)
    return Past.of_plan(compile_plan(load_study(study, profile=profile, text=text)))


def _saved(path: Path) -> Past:
    cure = "harness plan STUDY --json > plan.json writes one"
    try:
        steps = json.loads(path.read_text(encoding="utf-8"))["steps"]
        return Past(
            payloads={step["fingerprint"]: _payload(step) for step in steps},
            roles={tuple(role): step["fingerprint"] for step in steps for role in step["roles"]},
        )
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror}", cure=cure) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StudyError(f"{path}: not a plan", cure=cure) from error


def _payload(step: dict[str, Any]) -> dict[str, Any]:
    return {name: step[name] for name in ("stage", "version", "config", "inputs")}


def _at_revision(revision: str, study: Path) -> str:
    """Return the study file's text at a git revision, `REV:PATH` where it had another name then."""
    revision, _, path = revision.partition(":")
    path = path or f"./{study.name}"
    command = ["git", "-C", str(study.parent), "show", f"{revision}:{path}"]
    cure = "--against takes a plan.json, a study.yaml, or a git revision that holds the study file"
    if revision.startswith("-"):
        raise StudyError(f"no revision {revision!r}", cure=cure)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StudyError(f"git cannot be asked for {revision!r}: {error}", cure=cure) from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or [f"git ended with {error.returncode}"]
        raise StudyError(
            f"no {path.removeprefix('./')} at revision {revision!r}: {said[-1]}",
            cure=f"{cure}; REV:PATH where it had another name",
        ) from error
    return done.stdout

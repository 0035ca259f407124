"""The tasks of the installed mteb and of this project, by name.

Owns fresh task objects (mteb's clustering tasks carry state from one evaluation to the next, so one
object is never scored twice) and the list that `harness/study/mteb_tasks.tsv` holds, from which a study
is checked without importing mteb.
"""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Any

import mteb

from harness.errors import DataError, did_you_mean
from harness.evaluation.tasks import register_tasks
from harness.study.benchmarks import Limits
from harness.study.catalogue import OWN_TASKS, task_types

_WHOLE = Limits()


def new_task(name: str, limits: Limits = _WHOLE) -> Any:
    """Return a fresh mteb task object.

    Args:
        name: mteb's name of the task, or one of this project's.
        limits: The splits and subsets that count.

    Raises:
        DataError: If neither mteb nor this project has a text task of that name, or the task has not the
            splits or subsets.
    """
    register_tasks()
    try:
        task = mteb.get_task(name, eval_splits=limits.splits, hf_subsets=limits.subsets)
    except KeyError as error:
        if name in task_types():
            raise DataError(
                f"the installed mteb {metadata.version('mteb')} has no task {name}",
                cure="install a version that has it, or leave the task out",
            ) from error
        raise DataError(
            f"unknown task {name!r}.{did_you_mean(name, task_types())}",
            cure="a task is named as in mteb, such as SciFact or STSBenchmark",
        ) from error
    except ValueError as error:
        raise DataError(f"{name}: {error}", cure="leave out the split or the subset") from error
    modalities = set(task.metadata.modalities)
    if modalities != {"text"}:
        raise DataError(
            f"task {name} needs {', '.join(sorted(modalities))}; only text is evaluated here",
            cure="choose a text task",
        )
    return task


def parts_of(task: Any) -> list[Any]:
    """Return the tasks that an aggregate is the mean of; of any other task, the task itself."""
    return list(getattr(task.metadata, "tasks", None) or [task])


def mteb_instructions(name: str) -> dict[str, str]:
    """Return side -> the instruction that mteb's metadata gives a task, its type's where it gives none.

    As E5-mistral is evaluated by mteb, documents get one only where the metadata says so.
    """
    task = new_task(name)
    # An aggregate has the instruction of its parts.
    found = [part.metadata.prompt or part.abstask_prompt for part in parts_of(task)]
    if any(one != found[0] for one in found):
        raise DataError(
            f"{name}: its parts have different instructions in mteb's metadata",
            cure="evaluate the parts as tasks of their own",
        )
    own = found[0]
    if isinstance(own, dict):
        return {side: text for side, text in own.items() if text}
    return {"query": own, "text": own}


def mteb_task_table() -> str:
    """Return the content of `harness/study/mteb_tasks.tsv` for the installed mteb."""
    register_tasks()
    registry = sys.modules["mteb.get_tasks"]._TASKS_REGISTRY
    rows = sorted((name, kind.metadata.type) for name, kind in registry.items() if name not in OWN_TASKS)
    return "".join(f"{name}\t{task_type}\n" for name, task_type in rows)

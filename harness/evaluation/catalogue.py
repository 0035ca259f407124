"""The tasks of the installed mteb and of this project, by name.

Owns fresh task objects (mteb's clustering tasks carry state from one evaluation to the next, so one
object is never scored twice) and the list that `harness/study/mteb_tasks.tsv` holds, from which a study
is checked without importing mteb.
"""

from __future__ import annotations

import sys
from typing import Any

import mteb

from harness.errors import DataError, did_you_mean
from harness.evaluation.tasks import register_tasks
from harness.study.catalogue import OWN_TASKS, task_types


def new_task(name: str) -> Any:
    """Return a fresh mteb task object.

    Raises:
        DataError: If neither mteb nor this project has a text task of that name.
    """
    register_tasks()
    try:
        task = mteb.get_task(name)
    except KeyError as error:
        raise DataError(
            f"unknown task {name!r}.{did_you_mean(name, task_types())}",
            cure="a task is named as in mteb, such as SciFact or STSBenchmark",
        ) from error
    modalities = set(task.metadata.modalities)
    if modalities != {"text"}:
        raise DataError(
            f"task {name} needs {', '.join(sorted(modalities))}; only text is evaluated here",
            cure="choose a text task",
        )
    return task


def mteb_task_table() -> str:
    """Return the content of `harness/study/mteb_tasks.tsv` for the installed mteb."""
    register_tasks()
    registry = sys.modules["mteb.get_tasks"]._TASKS_REGISTRY
    rows = sorted((name, kind.metadata.type) for name, kind in registry.items() if name not in OWN_TASKS)
    return "".join(f"{name}\t{task_type}\n" for name, task_type in rows)

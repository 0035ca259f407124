"""Names that a study may use without defining them: tasks and pair sets.

Owns the task names of mteb (a committed list, so that a study is checked without importing mteb) and
of this project. The rule: a name that is not here is refused before anything runs.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

BBC_TASKS: dict[str, str] = {
    "BBCHeadlineRetrieval": "Retrieval",
    "BBCTopicClassification": "Classification",
    "BBCTopicClustering": "Clustering",
}
"""Tasks whose data comes from a `bbc` source, by name, with mteb's task type."""

PASSKEY_TASK = "PasskeyRetrieval"
PASSKEY_LENGTHS: tuple[int, ...] = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""Lengths of the passkey documents in tokens; each is a subset of the task, named by its length."""

OWN_TASKS: dict[str, str] = {**BBC_TASKS, PASSKEY_TASK: "Retrieval"}
"""Tasks of this project, by name, with mteb's task type."""

BBC_PAIRS: tuple[str, ...] = ("headlines", "paragraphs")
BBC_BEIR_FOLDERS: tuple[str, ...] = ("bbc-headlines",)


@cache
def task_types() -> dict[str, str]:
    """Return every known task name of mteb and of this project with its mteb task type."""
    text = resources.files("harness.study").joinpath("mteb_tasks.tsv").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return dict(line.split("\t") for line in lines) | OWN_TASKS

"""Names that a study may use without defining them: tasks and pair sets.

Owns the task names of mteb (a committed list, so that a study is checked without importing mteb) and
of this project. The rule: a name that is not here is refused before anything runs.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

OWN_TASKS: dict[str, str] = {
    "BBCHeadlineRetrieval": "Retrieval",
    "BBCTopicClassification": "Classification",
    "BBCTopicClustering": "Clustering",
}
"""Tasks of this project, by name, with mteb's task type; their data comes from a `bbc` source."""

BBC_PAIRS: tuple[str, ...] = ("headlines", "paragraphs")
BBC_BEIR_FOLDERS: tuple[str, ...] = ("bbc-headlines",)
JSONL_PAIRS: tuple[str, ...] = ("default",)


@cache
def task_types() -> dict[str, str]:
    """Return every known task name of mteb and of this project with its mteb task type."""
    text = resources.files("harness.study").joinpath("mteb_tasks.tsv").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return dict(line.split("\t") for line in lines) | OWN_TASKS

from __future__ import annotations

from importlib import resources

from harness.evaluation.task_sizes import make_task_sizes


def test_the_committed_sizes_are_those_of_the_installed_mteb() -> None:
    committed = resources.files("harness.study").joinpath("mteb_sizes.json").read_text(encoding="utf-8")
    assert committed == make_task_sizes()

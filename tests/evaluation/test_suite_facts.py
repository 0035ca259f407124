from __future__ import annotations

from importlib import resources

from harness.evaluation.suite_facts import make_suite_facts


def test_the_committed_suites_are_those_of_the_installed_mteb() -> None:
    committed = (
        resources.files("harness.records").joinpath("mteb_suites.json").read_text(encoding="utf-8")
    )
    assert committed == make_suite_facts()

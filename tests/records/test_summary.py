from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import RecordError
from harness.records.summary import TIERS, SuiteSummary, read_summary, write_summary
from harness.study.benchmarks import benchmark_names, named_suites
from tests.tables.fake_study import make_summary


def test_a_summary_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    write_summary(make_summary(), path)
    assert read_summary(path) == make_summary()


def test_equal_summaries_have_equal_bytes(tmp_path: Path) -> None:
    write_summary(make_summary(), tmp_path / "a.json")
    write_summary(make_summary(), tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_missing_summary_names_the_command_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="harness run"):
        read_summary(tmp_path / "study.json")


def test_a_file_that_is_no_summary_is_named(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    path.write_text('{"name": 1}', encoding="utf-8")
    with pytest.raises(RecordError, match=r"study\.json: not a study summary"):
        read_summary(path)


def test_a_tier_is_known_by_any_name_of_its_benchmark() -> None:
    meant = {
        benchmark_names()[one.benchmark]: name
        for name, one in named_suites().items()
        if one.benchmark and not one.tasks
    }
    assert set(meant.values()) == set(TIERS) - {"smoke"}
    for name, benchmark in benchmark_names().items():
        suite = SuiteSummary(name="s", evaluator="mteb", tasks=(), benchmark=name)
        expected = name if name in TIERS else meant.get(benchmark, "other")
        assert suite.tier == expected, name

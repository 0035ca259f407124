from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import RecordError
from harness.records.bulk import to_bulk_frame
from harness.records.facts import find_suite, task_facts
from harness.records.importing import read_mteb_folder
from harness.tables.suite_table import SuiteRow, build_suite_table
from tests.records.result_files import REVISION, today, write_file, write_model

ORDER = ("revision", "external", "none")


def _row(results: Path, order: tuple[str, ...] = ORDER) -> SuiteRow:
    frame = to_bulk_frame(read_mteb_folder(results)[0])
    (row,) = build_suite_table(frame, find_suite("MTEB(eng, v1)"), by="task", union=order).rows
    return row


def _split(tmp_path: Path) -> Path:
    """Write a model whose tasks lie in two revisions, one task in both."""
    results = tmp_path / "results"
    folder = write_model(results, model="m")
    external = results / "m" / "external"
    external.mkdir()
    for path in sorted(folder.glob("[A-M]*.json")):
        path.rename(external / path.name)
    write_file(folder, "ArguAna", today("ArguAna", "test", "default", 0.9))
    write_file(external, "ArguAna", today("ArguAna", "test", "default", 0.1))
    return results


def _value(row: SuiteRow, task: str) -> float | None:
    names = sorted(find_suite("MTEB(eng, v1)").tasks, key=lambda one: (one.task_type, one.name))
    return row.values[[one.name for one in names].index(task)]


def test_a_union_is_complete_and_says_what_it_is_made_of(tmp_path: Path) -> None:
    row = _row(_split(tmp_path))
    assert (row.revision, row.coverage) == ("UNION(revision,external,none)", "56/56")
    assert any(one.startswith("union: ") and f"from {REVISION}" in one for one in row.footnotes)


def test_the_stated_order_decides_which_revision_counts(tmp_path: Path) -> None:
    results = _split(tmp_path)
    assert _value(_row(results), "ArguAna") == 0.9
    assert _value(_row(results, ("external", "revision")), "ArguAna") == 0.1
    assert _value(_row(results, (REVISION, "external")), "ArguAna") == 0.9


def test_revisions_that_are_not_named_are_not_used(tmp_path: Path) -> None:
    row = _row(_split(tmp_path), ("external",))
    assert row.num_complete < 56
    assert any(one == f"not used: {REVISION}" for one in row.footnotes)


def test_revisions_of_one_rank_that_disagree_leave_a_blank_with_both(tmp_path: Path) -> None:
    results = tmp_path / "results"
    write_model(results, model="m")
    other = results / "m" / ("0" * 40)
    write_file(other, "ArguAna", today("ArguAna", "test", "default", 0.9))
    row = _row(results)
    (gap,) = row.gaps
    assert (gap.task, gap.state) == ("ArguAna", "duplicate_revision")
    assert "0.9" in gap.reason
    assert REVISION in gap.reason
    assert _row(results, (REVISION, "revision")).coverage == "56/56"


def test_equal_values_of_one_rank_are_no_contradiction(tmp_path: Path) -> None:
    results = tmp_path / "results"
    write_model(results, model="m")
    write_model(results, model="m", revision="0" * 40)
    assert _row(results).coverage == "56/56"


def test_the_parts_of_an_aggregate_may_lie_in_several_revisions(tmp_path: Path) -> None:
    results = tmp_path / "results"
    folder = write_model(results, model="m")
    external = results / "m" / "external"
    external.mkdir()
    (folder / "CQADupstackRetrieval.json").unlink()
    for part in task_facts()["CQADupstackRetrieval"].parts[:5]:
        (folder / f"{part}.json").rename(external / f"{part}.json")
    row = _row(results)
    assert row.coverage == "56/56"
    assert any("1 from parts of several" in one for one in row.footnotes)
    assert _row(results, ("revision",)).coverage == "55/56"


@pytest.mark.parametrize("order", [("external", "external"), ()])
def test_an_order_names_each_once(tmp_path: Path, order: tuple[str, ...]) -> None:
    from harness.tables.suite_cells import list_wanted
    from harness.tables.suite_scores import score_suite
    from harness.tables.suite_union import unite

    results = tmp_path / "results"
    write_model(results)
    frame = to_bulk_frame(read_mteb_folder(results)[0])
    scores = score_suite(frame, list_wanted(find_suite("MTEB(eng, v1)")))
    with pytest.raises(RecordError, match="no order of revisions"):
        unite(scores, {}, preference=order)

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.errors import RecordError
from harness.records.bulk import to_bulk_frame
from harness.records.facts import find_suite
from harness.records.importing import mark_duplicates, read_mteb_folder
from harness.report.sheet import sheet_of
from harness.report.sheet_formats import FORMATS, render_csv
from harness.tables.suite_table import SuiteTable, build_suite_table, to_frame
from tests.records.result_files import (
    REVISION,
    V1,
    cells_of,
    made_up,
    scores_file,
    today,
    write_file,
    write_model,
)

if TYPE_CHECKING:
    import pandas as pd

HEAD = (
    "model,revision,Classification,Clustering,PairClassification,Reranking,Retrieval,STS,"
    "Summarization,Average,coverage"
)


def _frame(results: Path) -> pd.DataFrame:
    return to_bulk_frame(mark_duplicates(read_mteb_folder(results)[0]))


def _table(results: Path, suite: str = V1) -> SuiteTable:
    return build_suite_table(_frame(results), find_suite(suite))


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("lab") / "results"
    write_model(results)
    return results


@pytest.fixture
def results(complete: Path, tmp_path: Path) -> Path:
    shutil.copytree(complete, tmp_path / "results")
    return tmp_path / "results"


def test_a_complete_model_has_all_its_means(complete: Path) -> None:
    table = _table(complete)
    lines = render_csv(sheet_of(table)).splitlines()
    assert lines[0] == HEAD
    (row,) = table.rows
    suite = find_suite(V1)
    parts = next(task.parts for task in suite.tasks if task.parts)
    values = {task.name: made_up(task.name) for task in suite.tasks}
    values["CQADupstackRetrieval"] = sum(made_up(part) for part in parts) / 12
    for task in suite.tasks:
        if task.task_type == "PairClassification":
            values[task.name] -= 0.01
    retrieval = [values[task.name] for task in suite.tasks if task.task_type == "Retrieval"]
    columns = [column.name for column in table.columns]
    assert row.values[columns.index("Retrieval")] == pytest.approx(sum(retrieval) / 15)
    assert row.values[columns.index("Average")] == pytest.approx(sum(values.values()) / 56)
    assert row.coverage == "56/56"
    assert lines[1].endswith(",56/56")
    assert all(len(cell.partition(".")[2]) == 2 for cell in lines[1].split(",")[2:-1])


@pytest.mark.parametrize("task", sorted(set(cells_of()) - {"CQADupstackRetrieval"}))
def test_deleting_any_file_blanks_its_type_and_names_it(results: Path, task: str) -> None:
    path = results / "org__small" / REVISION / f"{task}.json"
    before = render_csv(sheet_of(_table(results)))
    content = path.read_bytes()
    path.unlink()
    table = _table(results)
    (row,) = table.rows
    suite = find_suite(V1)
    task_type = next(one.task_type for one in suite.tasks if task in {one.name, *one.parts})
    blank = [
        column.name for column, value in zip(table.columns, row.values, strict=True) if value is None
    ]
    assert blank == [task_type, "Average"]
    assert row.coverage == "55/56"
    assert any(f"{task}.json" in sentence for sentence in row.footnotes)
    path.write_bytes(content)
    assert render_csv(sheet_of(_table(results))) == before


def test_the_parts_of_an_aggregate_stand_for_it_where_it_has_no_file(results: Path) -> None:
    before = render_csv(sheet_of(_table(results)))
    (results / "org__small" / REVISION / "CQADupstackRetrieval.json").unlink()
    table = _table(results)
    assert render_csv(sheet_of(table)) == before
    assert any(
        "the mean of its parts; CQADupstackRetrieval.json is not there" in sentence
        for sentence in table.rows[0].footnotes
    )


def test_where_an_aggregate_and_a_part_are_gone_both_are_named(results: Path) -> None:
    for name in ("CQADupstackRetrieval.json", "CQADupstackTexRetrieval.json"):
        (results / "org__small" / REVISION / name).unlink()
    (row,) = _table(results).rows
    assert row.coverage == "55/56"
    (told,) = row.footnotes
    assert told.endswith("/ has no CQADupstackRetrieval.json, CQADupstackTexRetrieval.json")


def test_an_aggregate_stands_for_its_parts_where_none_is_there(results: Path) -> None:
    for path in (results / "org__small" / REVISION).glob("CQADupstack*Retrieval.json"):
        if path.stem != "CQADupstackRetrieval":
            path.unlink()
    (row,) = _table(results).rows
    assert row.coverage == "56/56"
    assert any("the aggregate's own file" in sentence for sentence in row.footnotes)


@pytest.mark.parametrize(
    ("task", "content", "state"),
    [
        ("MSMARCO", today("MSMARCO", "test", "default", 0.6), "missing_split"),
        ("STS17", today("STS17", "test", "ar-ar", 0.6), "missing_subset"),
        ("SciFact", scores_file("SciFact", {"test": [{"ndcg_at_5": 0.6}]}), "other_metric"),
        ("SciFact", today("SciFact", "test", "default", float("nan")), "not_a_number"),
        ("SciFact", today("SciFact", "test", "default", 61.0), "out_of_range"),
        ("SciFact", [], "unreadable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_with_a_file_is_named_under_the_table(
    results: Path, task: str, content: object, state: str
) -> None:
    write_file(results / "org__small" / REVISION, task, content)
    (row,) = _table(results).rows
    assert row.num_complete == 55
    told = [sentence for sentence in row.footnotes if sentence.startswith(f"{state}: {task}")]
    assert told
    assert f"org__small/{REVISION}/{task}.json" in told[0]


def test_another_split_stands_in_only_where_it_is_asked_for(results: Path) -> None:
    write_file(results / "org__small" / REVISION, "MSMARCO", today("MSMARCO", "test", "default", 0.6))
    table = build_suite_table(_frame(results), find_suite(V1), accept={"MSMARCO": "test"})
    (row,) = table.rows
    assert row.coverage == "56/56"
    assert any("split test stands for dev" in sentence for sentence in row.footnotes)
    with pytest.raises(RecordError, match="Did you mean 'MSMARCO'"):
        build_suite_table(_frame(results), find_suite(V1), accept={"MSMARCOS": "test"})


def test_every_revision_has_a_line_of_its_own_in_order(results: Path) -> None:
    write_model(results, revision="external")
    write_model(results, model="a__first")
    table = _table(results)
    assert [(row.model, row.revision) for row in table.rows] == [
        ("a__first", REVISION),
        ("org__small", REVISION),
        ("org__small", "external"),
    ]
    assert any(one.startswith("duplicate_revision: ") for one in table.rows[1].footnotes)


def test_a_model_without_any_task_of_the_suite_has_a_blank_line(results: Path) -> None:
    write_file(results / "other" / "external", "BUCC", today("BUCC", "test", "de-en", 0.9))
    row = next(row for row in _table(results).rows if row.model == "other")
    assert row.coverage == "0/56"
    assert set(row.values) == {None}
    assert "ArguAna.json" in row.footnotes[0]


def test_the_recorded_main_score_counts_in_later_suites(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "m" / REVISION
    for task, (split, subset) in cells_of("MTEB(eng, v2)").items():
        write_file(folder, task, today(task, split, subset, 0.5))
    entry = {"hf_subset": "default", "accuracy": 0.7, "main_score": 0.9}
    task = "ToxicConversationsClassification"
    write_file(folder, task, scores_file(task, {"test": [entry]}))
    table = _table(tmp_path / "results", "MTEB(eng, v2)")
    assert [column.name for column in table.columns][-2:] == ["Average", "AverageOfTypes"]
    (row,) = table.rows
    assert row.coverage == "41/41"
    assert row.values[0] == pytest.approx((7 * 0.5 + 0.9) / 8)
    assert row.values[2] == 0.5
    assert row.values[-2] == pytest.approx((40 * 0.5 + 0.9) / 41)


def test_a_column_for_each_task(results: Path) -> None:
    table = build_suite_table(_frame(results), find_suite(V1), by="task", averages=())
    assert len(table.columns) == 56
    values = dict(zip([one.name for one in table.columns], table.rows[0].values, strict=True))
    assert values["SciFact"] == made_up("SciFact")
    assert values["STS22"] == made_up("STS22")


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_every_format_has_the_same_bytes_again(complete: Path, form: str) -> None:
    one, two = (FORMATS[form](sheet_of(_table(complete))) for _ in range(2))
    assert one == two
    assert "56/56" in one


def test_json_has_the_numbers_before_rounding_and_the_gaps(results: Path) -> None:
    (results / "org__small" / REVISION / "ArguAna.json").unlink()
    document = json.loads(FORMATS["json"](sheet_of(_table(results))))
    (row,) = document["rows"]
    assert row["values"]["Retrieval"] is None
    assert row["shown"]["STS"] == f"{row['values']['STS']:.2f}"
    assert row["gaps"] == [
        {"task": "ArguAna", "state": "missing", "reason": "not measured", "files": ["ArguAna.json"]}
    ]


def test_the_table_is_a_frame_too(results: Path) -> None:
    write_model(results, revision="external")
    (results / "org__small" / "external" / "ArguAna.json").unlink()
    frame = to_frame(_table(results))
    assert frame.loc[("org__small", REVISION), "num_complete"] == 56
    assert frame["STS"].nunique() == 1
    assert frame["Retrieval"].isna().tolist() == [False, True]
    values = [made_up(task.name) for task in find_suite(V1).tasks if task.task_type == "STS"]
    assert frame.loc[("org__small", "external"), "STS"] == pytest.approx(10 * sum(values))


def test_names_are_escaped_in_every_format(results: Path) -> None:
    shutil.copytree(results / "org__small", results / "a<b>&_|x")
    for form, raw in (("html", "a<b>"), ("md", "|x"), ("tex", "&_")):
        text = FORMATS[form](sheet_of(_table(results)))
        escaped = {"html": "a&lt;b&gt;&amp;_|x", "md": r"\|x", "tex": r"\&\_"}[form]
        assert escaped in text
        assert raw not in text.replace(escaped, "")

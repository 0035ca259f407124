"""The papers' printed tables: as printed, and with what they contradict themselves in."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from harness.errors import RecordError
from harness.records.bulk import to_bulk_frame
from harness.records.facts import find_suite
from harness.records.importing import read_mteb_folder
from harness.records.papers import Paper, read_paper
from harness.report.paper_sheets import list_numbers, sheets_of
from harness.report.sheet import sheet_of
from harness.report.sheet_formats import render_csv, render_markdown
from harness.tables.papers import check_average, mean_of_columns, reference_rows
from harness.tables.suite_table import SuiteTable, build_suite_table
from tests.conftest import REPOSITORY
from tests.records.result_files import write_model

PUBLISHED = REPOSITORY / "results" / "published"


@pytest.fixture(scope="module")
def anchor() -> Paper:
    return read_paper(PUBLISHED / "anchor")


@pytest.fixture(scope="module")
def e5() -> Paper:
    return read_paper(PUBLISHED / "e5-mistral")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> SuiteTable:
    results = tmp_path_factory.mktemp("lab") / "results"
    write_model(results)
    frame = to_bulk_frame(read_mteb_folder(results)[0])
    return build_suite_table(frame, find_suite("MTEB(eng, v1)"))


def test_every_record_says_where_it_is_printed(anchor: Paper, e5: Paper) -> None:
    for paper in (anchor, e5):
        assert paper.records
        for record in paper.records.values():
            assert record.source.startswith("arXiv "), record
            assert record.state == "ok"


def test_averages_that_contradict_their_columns_are_told(anchor: Paper, e5: Paper) -> None:
    told = {
        (paper.layout.name, one.id, row.name): check_average(paper, one, row)
        for paper in (anchor, e5)
        for one in paper.layout.tables
        for row in one.rows
    }
    said = {key: text for key, text in told.items() if text}
    assert said == {
        ("anchor", "main", "Qwen2.5-1.5B-Instruct, baseline"): (
            "the printed average is 61.51, its own columns give 61.58"
        ),
        ("anchor", "main", "Llama-3.1-8B-Instruct, baseline"): (
            "the printed average is 64.06, its own columns give 64.25"
        ),
        ("anchor", "reconstruction-tasks", "document to query alone, weight 0"): (
            "the printed average is 61.38, its own columns give 61.40"
        ),
    }


def test_numbers_keep_the_digits_that_were_printed(e5: Paper) -> None:
    main = e5.table("main")
    rows = {row.name: row for row in main.rows}
    assert str(e5.printed(main, rows["no synthetic"], "Classification")) == "76.80"
    assert str(e5.printed(main, rows["full data"], "Classification")) == "78.5"


@pytest.mark.parametrize(
    ("row", "mean"),
    [("synthetic only", "46.94"), ("synthetic and MS MARCO", "52.17"), ("no synthetic", "52.78")],
)
def test_scores_by_task_give_the_printed_means(e5: Paper, row: str, mean: str) -> None:
    tasks = e5.table("tasks")
    line = next(one for one in tasks.rows if one.name == row)
    retrieval = [
        e5.printed(tasks, line, task.name)
        for task in find_suite("MTEB(eng, v1)").tasks
        if task.task_type == "Retrieval"
    ]
    values = [value for value in retrieval if value is not None]
    assert len(values) == 15
    assert abs(sum(values, Decimal(0)) / 15 - Decimal(mean)) <= Decimal("0.01")
    assert mean_of_columns(e5, tasks, line) is not None


def test_a_paper_prints_all_its_tables(anchor: Paper, e5: Paper) -> None:
    assert [len(sheets_of(paper)) for paper in (anchor, e5)] == [7, 8]
    text = render_markdown(sheets_of(anchor)[0])
    assert "64.06" in text
    assert "its own columns give 64.25" in text
    assert "arXiv 2509.03020" in text
    lines = list_numbers(e5).splitlines()
    assert lines[0] == "table,row,column,value,source"
    assert len(lines) == 1 + len(e5.records)
    assert 'tasks,full data,SciFact,76.4,"arXiv 2401.00368, Table 17"' in lines


def test_printed_rows_stand_below_ours_without_rank(anchor: Paper, table: SuiteTable) -> None:
    sheet = sheet_of(table, references=reference_rows(anchor, table))
    assert [row.role for row in sheet.rows][:2] == ["variant", "reference"]
    assert not any(cell.standing for row in sheet.rows[1:] for cell in row.cells)
    line = next(one for one in render_csv(sheet).splitlines() if "8B-Instruct, anchor" in one)
    assert line.endswith(
        ',"arXiv 2509.03020, main",76.17,46.03,88.92,61.38,57.09,83.76,30.13,65.30,printed'
    )
    assert any("its own columns give 61.58" in one.text for one in sheet.footnotes)


def test_a_paper_without_the_suite_is_refused(anchor: Paper, table: SuiteTable) -> None:
    other = build_suite_table(to_bulk_frame([]), find_suite("NanoBEIR"))
    with pytest.raises(RecordError, match="anchor prints nothing on NanoBEIR"):
        reference_rows(anchor, other)


def test_an_unknown_table_is_answered_with_those_that_are_there(anchor: Paper) -> None:
    with pytest.raises(RecordError, match="Did you mean 'main'"):
        sheets_of(anchor, table="mian")


def test_a_number_without_a_place_is_refused(tmp_path: Path) -> None:
    layout = json.loads((PUBLISHED / "anchor" / "paper.json").read_text(encoding="utf-8"))
    layout["tables"] = layout["tables"][1:]
    (tmp_path / "paper.json").write_text(json.dumps(layout), encoding="utf-8")
    (tmp_path / "records.jsonl").write_bytes((PUBLISHED / "anchor" / "records.jsonl").read_bytes())
    with pytest.raises(RecordError, match=r"has no place in paper\.json"):
        read_paper(tmp_path)

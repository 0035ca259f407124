"""A table can be split into leaked and clean tasks, and says what that means and for whom."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.shapes import print_shape
from harness.errors import RecordError
from harness.records.overlap import OVERLAP_NAME, Example, Finding, Overlap, read_overlap, write_overlap
from harness.records.schema import Record
from harness.records.store import write_records
from harness.records.summary import StudySummary, write_summary
from harness.report.content import Report
from harness.report.write import render_report
from harness.tables.build import build_table
from harness.tables.frames import frame
from harness.tables.shape import shape
from harness.tables.table import Table
from tests.tables.fake_study import label
from tests.tables.lookup import cell_of


def _finding(task: str, *, exact: int = 0, near: int = 0, pairs: str = "bbc/headlines") -> Finding:
    return Finding(
        pairs=pairs,
        task=task,
        kind="query",
        num_texts=200,
        num_short=3,
        num_exact=exact,
        num_near=near,
        num_in_queries=exact + near,
        num_in_documents=0,
    )


def _overlap(*findings: Finding) -> Overlap:
    return Overlap(
        settings={"threshold": 0.8, "permutations": 128, "shingle": 2, "min_words": 3},
        leaked_share=0.01,
        trained_on={
            label(switch, pairs): (f"bbc/{pairs}",)
            for switch in ("off", "on")
            for pairs in ("headlines", "paragraphs")
        },
        in_domain={"bbc/headlines": ("BBCTopicClustering",)},
        findings=findings,
        missing={"bbc-headlines": "the disk was full"},
    )


def labels(table: Table) -> set[str]:
    return {row.label for row in table.rows}


FOUND = _overlap(
    _finding("BBCHeadlineRetrieval", exact=40, near=10),
    _finding("BBCHeadlineRetrieval", pairs="bbc/paragraphs"),
    _finding("BBCTopicClassification", exact=1),
    _finding("BBCTopicClustering"),
)


def test_leaked_tasks_stand_apart_from_clean_ones(summary: StudySummary, records: list[Record]) -> None:
    table = shape(summary, records, columns="leaked", overlap=FOUND)
    by_task = shape(summary, records, columns="task")
    row = label("on", "headlines")
    news = {column.task for column in table.columns if column.suite == "news"}
    assert news == {"leaked", "clean"}
    assert cell_of(table, row, "news/leaked").value == pytest.approx(
        cell_of(by_task, row, "news/BBCHeadlineRetrieval").value
    )
    said = "\n".join(table.notes)
    assert "Leaked: at least 1.0% of one kind of a task's texts" in said
    both = f"{label('off', 'headlines')}; {label('on', 'headlines')}"
    assert f"BBCHeadlineRetrieval: leaked for {both} (25.0% of its queries in bbc/headlines)." in said
    assert "bbc-headlines: not looked at: the disk was full." in said
    # One text of two hundred is less than what counts.
    assert FOUND.standing("BBCTopicClassification") == "clean"


def test_where_nobody_looked_the_command_is_told(summary: StudySummary, records: list[Record]) -> None:
    with pytest.raises(RecordError, match="nobody looked") as caught:
        shape(summary, records, columns="leaked")
    assert caught.value.cure == f"harness data overlap {summary.name}"
    # Another table has nothing to say of it.
    assert shape(summary, records, overlap=FOUND) == shape(summary, records)


def test_the_file_beside_the_records_is_what_tables_read(
    summary: StudySummary, records: list[Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_summary(summary, tmp_path / "study.json")
    write_records(tmp_path / "records.jsonl", records)
    assert read_overlap(tmp_path) is None
    example = Example(text="a \u2028 b", found="b", side="query", similarity=1.0)
    first = replace(FOUND.findings[0], examples=(example,))
    write_overlap(replace(FOUND, findings=(first, *FOUND.findings[1:])), tmp_path / OVERLAP_NAME)
    again = read_overlap(tmp_path)
    assert again is not None
    assert again.findings[0] == first
    wide = frame(tmp_path, columns="leaked", suite="news")
    assert [column for column in wide.columns if "leaked" in column]
    print_shape(tmp_path, form="md", columns="leaked")
    assert "leaked for" in capsys.readouterr().out
    shutil.copy(tmp_path / "study.json", tmp_path / OVERLAP_NAME)
    with pytest.raises(RecordError, match="not a study's overlap"):
        read_overlap(tmp_path)


def test_a_cell_of_what_its_row_may_know_is_marked_with_what_and_from_where(
    summary: StudySummary, records: list[Record]
) -> None:
    report = Report(summary, records, overlap=FOUND)
    footnotes = {one.text: one.mark for one in report.table.footnotes}
    leaked = footnotes["Leaked: 25.0% of its queries in bbc/headlines."]
    own = footnotes["In-domain: by the source of bbc/headlines."]
    for switch in ("off", "on"):
        known = label(switch, "headlines")
        for table in [one for one in (report.table, report.deltas) if one and known in labels(one)]:
            cell = cell_of(table, known, "news/BBCHeadlineRetrieval")
            assert (cell.exposure, leaked in cell.notes) == ("leaked", True)
            cell = cell_of(table, known, "news/BBCTopicClustering")
            assert (cell.exposure, own in cell.notes) == ("in-domain", True)
        # Trained on other pairs, or not at all.
        for other in (label(switch, "paragraphs"), "untrained", "BM25"):
            for task in summary.suites[0].tasks:
                if other in labels(report.table):
                    assert not cell_of(report.table, other, f"news/{task}").exposure
    said = "\n".join(report.table.notes)
    assert "Leaked: at least 1.0%" in said
    assert "bbc-headlines: not looked at: the disk was full." in said


def test_every_format_says_what_a_row_may_know(summary: StudySummary, records: list[Record]) -> None:
    plain = render_report(summary, records)
    files = render_report(summary, records, overlap=FOUND)
    for name, text in files.items():
        assert "exposure" not in plain[name]
        if name == "table.csv":
            (head, *lines) = csv.reader(text.splitlines())
            place = head.index("news/BBCHeadlineRetrieval:exposure")
            assert {line[0] for line in lines if line[place] == "leaked"} == {
                label("off", "headlines"),
                label("on", "headlines"),
            }
        else:
            assert "of its queries in bbc/headlines" in text, name


def test_a_variant_that_nobody_looked_at_is_named(summary: StudySummary, records: list[Record]) -> None:
    known = {name: pairs for name, pairs in FOUND.trained_on.items() if name != label("on", "headlines")}
    table = build_table(summary, records, overlap=replace(FOUND, trained_on=known))
    assert f"Not looked at for {label('on', 'headlines')}: harness data overlap does." in table.notes


@given(st.integers(0, 200), st.floats(0, 1))
def test_a_task_is_leaked_from_the_share_on_and_never_without_a_text(num: int, share: float) -> None:
    overlap = replace(_overlap(_finding("BBCHeadlineRetrieval", exact=num)), leaked_share=share)
    is_leaked = overlap.standing("BBCHeadlineRetrieval") == "leaked"
    assert is_leaked == (num > 0 and num / 200 >= share)
    assert bool(overlap.leaked(label("on", "headlines"))) == is_leaked
    assert not overlap.leaked(label("on", "paragraphs"))

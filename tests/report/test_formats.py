from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.identity import fingerprint
from harness.records.schema import Record
from harness.records.store import dump_records
from harness.records.summary import StudySummary
from harness.report.content import Report
from harness.report.delimited import render_csv
from harness.report.markdown import escape, render_markdown
from harness.report.structured import dump, render_json
from tests.report.hostile import make_hostile
from tests.tables.fake_study import make_records, make_summary


def table_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_markdown_tables_have_as_many_cells_in_every_line(report: Report) -> None:
    for text in (render_markdown(report), render_markdown(Report(*make_hostile()))):
        block: list[int] = []
        for line in [*text.splitlines(), ""]:
            if line.startswith("|"):
                block.append(len(re.findall(r"(?<!\\)\|", line)))
            elif block:
                assert len(set(block)) == 1
                block = []


def test_markdown_tables_are_aligned_in_plain_text(report: Report) -> None:
    main = render_markdown(report).split("\n\n")[2]
    assert len({len(line) for line in table_lines(main)}) == 1


def test_markdown_marks_best_second_and_baseline(report: Report) -> None:
    lines = table_lines(render_markdown(report))
    assert any("**75.65**" in line for line in lines)
    assert any("<u>73.94</u> ‡ ± 0.20" in line for line in lines)
    assert any("pairs=headlines (baseline)" in line for line in lines)


def test_markdown_names_every_footnote_that_a_cell_points_to(
    summary: StudySummary, records: list[Record]
) -> None:
    fewer = [one for one in records if one.variant != "on-paragraphs-s0"]
    text = render_markdown(Report(summary, fewer))
    marks = set(re.findall(r" \[(\d+)\]", text))
    assert marks
    assert marks <= set(re.findall(r"^- \[(\d+)\]", text, flags=re.MULTILINE))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ndcg_at_10", "ndcg_at_10"),
        ("_a_", r"\_a\_"),
        ("a|b\nc", r"a\|b c"),
        ("<b>&", r"\<b\>&amp;"),
        ("# a", r"\# a"),
        ("1. a", r"\1. a"),
        ("+1.20", r"\+1.20"),
    ],
)
def test_markdown_escapes_what_would_be_markup(text: str, expected: str) -> None:
    assert escape(text) == expected


def test_csv_reads_as_numbers_with_a_line_a_row(report: Report) -> None:
    frame = pd.read_csv(io.StringIO(render_csv(report)))
    assert frame["row"].tolist() == [row.label for row in report.table.rows]
    numbers = frame[[column for column in frame.columns if column.startswith("news")]]
    assert all(kind.kind == "f" for kind in numbers.dtypes)
    bm25 = frame[frame["row"] == "BM25"].iloc[0]
    assert pd.isna(bm25["news/mean"])
    assert pd.isna(bm25["news/BBCTopicClustering"])
    assert bm25["tasks_complete"] == 2
    assert frame["factor:pairs"].tolist()[:2] == ["headlines", "paragraphs"]


def test_csv_shows_what_the_table_shows(report: Report) -> None:
    frame = pd.read_csv(io.StringIO(render_csv(report)), dtype=str, keep_default_na=False)
    for place, row in enumerate(report.table.rows):
        for column, cell in zip(report.table.columns, row.cells, strict=True):
            assert frame.loc[place, column.key] == ("" if cell.value is None else cell.text.lstrip("+"))


def test_json_holds_values_states_and_reasons(report: Report) -> None:
    plain = json.loads(render_json(report))
    rows = {row["label"]: row for row in plain["table"]["rows"]}
    cell = rows["BM25"]["cells"]["news/BBCTopicClustering"]
    assert cell["value"] is None
    assert cell["state"] == "not_applicable"
    assert "no embedding" in cell["reason"]
    assert rows["untrained"]["cells"]["news/mean"]["value"] == report.table.rows[4].cells[3].value
    assert plain["primary_effects"][0]["factor"] == "reconstruction"
    assert plain["table"]["primary"] == "news/mean"


def test_json_holds_every_cell_of_every_table(report: Report) -> None:
    plain = json.loads(render_json(report))
    for name, table in zip(("table", "deltas", "effects"), report.tables, strict=True):
        for shown, row in zip(plain[name]["rows"], table.rows, strict=True):
            assert [cell["display"] for cell in shown["cells"].values()] == [
                one.display for one in row.cells
            ]


def test_settings_are_grouped_by_what_comes_before_the_first_dot(
    summary: StudySummary, records: list[Record]
) -> None:
    settings = {"model.base": "a", "model.tuning.rank": "8", "note": "b"}
    report = Report(replace(summary, settings=settings), records)
    assert report.settings == {"model": {"base": "a", "tuning.rank": "8"}, "study": {"note": "b"}}
    assert "- model: base a; tuning.rank 8" in render_markdown(report)


@pytest.mark.parametrize("make", [make_hostile, lambda: (make_summary(), make_records())])
def test_the_signature_ends_with_the_fingerprint_of_summary_and_records(
    make: Callable[[], tuple[StudySummary, list[Record]]],
) -> None:
    summary, records = make()
    text = dump_records(records, without=("wall_seconds", "tokens"))
    expected = fingerprint([summary, text])[:12]
    assert Report(summary, records).signature.endswith(f"records {expected}")


def test_the_signature_follows_the_records(summary: StudySummary, records: list[Record]) -> None:
    same = Report(summary, list(reversed(records))).signature
    other = Report(summary, records[1:]).signature
    assert same == Report(summary, records).signature
    assert same != other
    assert re.search(r"records [0-9a-f]{12}$", same)
    assert "mteb 2.26.24" in same
    assert "seeds 0 1" in same


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
)
def test_json_has_the_bytes_that_the_standard_library_writes(plain: object) -> None:
    assert dump(plain) == json.dumps(plain, indent=1, ensure_ascii=False) + "\n"

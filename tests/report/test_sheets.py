from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from harness.records.papers import read_paper
from harness.report.paper_sheets import sheets_of
from harness.report.sheet import Sheet, SheetCell, SheetRow
from harness.report.sheet_formats import FORMATS
from harness.tables.table import Footnote
from tests.conftest import REPOSITORY

HOSTILE = Sheet(
    title="<script>alert(1)</script> & $x_1$ | 100%",
    label_heads=("model", "revision"),
    heads=("A_b", "C|d"),
    rows=(
        SheetRow(
            labels=("org__<b>|\\", "#1"),
            cells=(SheetCell(value=-1.0, text="-1.00", standing="best", marks=("1",)), SheetCell()),
            last="1/2",
            marks=("1",),
        ),
        SheetRow(
            labels=("\u4e2d & co", ""),
            cells=(SheetCell(value=2.0, text="2.00"), SheetCell(value=3.0, text="3.00")),
            last="2/2",
            role="reference",
        ),
    ),
    last_head="coverage",
    footnotes=(Footnote(mark="1", text="a_b <i> | c"),),
    notes=("50% of {all}",),
)


def test_csv_is_the_texts_alone() -> None:
    assert FORMATS["csv"](HOSTILE).splitlines() == [
        "model,revision,A_b,C|d,coverage",
        "org__<b>|\\,#1,-1.00,,1/2",
        "\u4e2d & co,,2.00,3.00,2/2",
    ]


def test_no_string_opens_markup() -> None:
    html = FORMATS["html"](HOSTILE)
    assert "<script>" not in html
    assert "<i>" not in html
    assert html.count("<tr") == 3
    lines = FORMATS["md"](HOSTILE).splitlines()
    table = [line for line in lines if line.startswith("|")]
    bars = {line.replace(r"\|", "").count("|") for line in table}
    assert bars == {6}


def test_the_latex_of_a_hostile_sheet_and_of_a_paper_compiles(tmp_path: Path) -> None:
    compiler = shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("pdflatex is not installed")
    paper = read_paper(REPOSITORY / "results" / "published" / "anchor")
    tables = "\n".join(FORMATS["tex"](sheet) for sheet in (HOSTILE, *sheets_of(paper)))
    document = (
        r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage[utf8]{inputenc}"
        r"\usepackage{booktabs}\usepackage{graphicx}\begin{document}"
        f"\n{tables}\n\\end{{document}}\n"
    )
    (tmp_path / "document.tex").write_text(document, encoding="utf-8")
    done = subprocess.run(
        [compiler, "-interaction=nonstopmode", "-halt-on-error", "document.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.report.comparison import render_comparison
from harness.report.content import Report
from harness.report.latex import escape, render_latex
from harness.report.single import render_single
from harness.tables.compare import compare
from harness.tables.shape import shape
from harness.tables.sides import side_of
from tests.report.hostile import make_hostile
from tests.tables.fake_study import make_records, make_summary

DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{booktabs}
\usepackage{graphicx}
\begin{document}
\input{table.tex}
\end{document}
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ndcg_at_10", r"ndcg\_at\_10"),
        ("50% & $x$", r"50\% \& \$x\$"),
        ("a\\b{c}", r"a\textbackslash{}b\{c\}"),
        ("off → on ± 1", r"off $\rightarrow$ on $\pm$ 1"),
        ("caf\u00e9", "caf\u00e9"),
        ("\ufb01n", "fin"),
        ("\u4e2d", "(U+4E2D)"),
        ("a\nb\tc", "a b c"),
    ],
)
def test_strings_become_what_latex_prints(text: str, expected: str) -> None:
    assert escape(text) == expected


def test_environments_are_balanced_and_ruled_by_booktabs(report: Report) -> None:
    text = render_latex(report)
    assert len(re.findall(r"\\begin\{table\}", text)) == len(report.tables)
    for name in ("table", "tabular", "minipage"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}")
    for rule in (r"\toprule", r"\bottomrule"):
        assert text.count(rule) == len(report.tables)
    assert r"\hline" not in text


def test_every_line_of_a_tabular_has_its_number_of_columns() -> None:
    text = render_latex(Report(*make_hostile()))
    found = re.findall(r"\\begin\{tabular\}\{(lr+)\}(.*?)\\end\{tabular\}", text, re.DOTALL)
    assert len(found) == 3
    for spec, body in found:
        for line in body.splitlines():
            if line.endswith(r"\\"):
                spans = [int(one) for one in re.findall(r"\\multicolumn\{(\d+)\}", line)]
                cells = len(re.findall(r"(?<!\\)&", line)) + 1 + sum(one - 1 for one in spans)
                assert cells == len(spec)


def test_best_is_bold_second_underlined_and_signs_are_mathematical(report: Report) -> None:
    text = render_latex(report)
    assert r"\textbf{75.65}" in text
    assert r"\underline{73.94}\,\textsuperscript{\ddag{}} {\footnotesize $\pm$ 0.20}" in text
    assert r"$-$11.32" in text


def test_labels_differ_between_the_tables(report: Report) -> None:
    labels = re.findall(r"\\label\{(.*?)\}", render_latex(report))
    assert len(set(labels)) == len(report.tables)


def _shown(report: Report, kind: str) -> str:
    """Return LaTeX of a whole report, of strings that are markup, of a shaped table, of a comparison."""
    summary, records = make_summary(), make_records()
    if kind == "shaped":
        return render_single(shape(summary, records, rows="variant", columns="type"), "tex")
    if kind == "compared":
        rows = [row for row in summary.rows if row.levels.get("pairs") == "headlines"]
        sides = [side_of(summary, records, row) for row in rows]
        return render_comparison(compare(*sides), "tex")
    return render_latex(report if kind == "plain" else Report(*make_hostile()))


@pytest.mark.parametrize("kind", ["plain", "hostile", "shaped", "compared"])
def test_the_file_compiles(report: Report, kind: str, tmp_path: Path) -> None:
    compiler = shutil.which("pdflatex") or shutil.which("tectonic")
    if compiler is None:
        pytest.skip("neither pdflatex nor tectonic is installed")
    (tmp_path / "table.tex").write_text(_shown(report, kind), encoding="utf-8")
    (tmp_path / "paper.tex").write_text(DOCUMENT, encoding="utf-8")
    flags = ["-interaction=nonstopmode", "-halt-on-error"] if compiler.endswith("pdflatex") else []
    done = subprocess.run(
        [compiler, *flags, "paper.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 0

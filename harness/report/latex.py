"""Tables as LaTeX, to be read into a paper.

Owns LaTeX's escapes and the booktabs layout. The rule: the file compiles with booktabs and graphicx
alone, whatever the strings of a study hold.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from harness.report.content import Report
from harness.tables.table import Cell, Row, Table

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "]": "{]}",
    "±": r"$\pm$",
    "→": r"$\rightarrow$",
    "Δ": r"$\Delta$",
    "\u2212": "$-$",
    "\u00d7": r"$\times$",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "§": r"\S{}",
    "\u2014": "---",
    "\u2013": "--",
}
"""What LaTeX reads as markup, and what pdflatex has no letter for."""

_HEAD_LENGTH = 14
"""Letters in a line of a heading, where a name can be cut."""

_SIGNED = re.compile(r"^([+-])(?=\d)")


def render_latex(report: Report) -> str:
    """Return `table.tex`: one `table` environment for each table of the report."""
    head = (
        f"% {_comment(report.name)}: {_comment(report.signature)}\n"
        "% Needs \\usepackage[T1]{fontenc}, \\usepackage{booktabs} and \\usepackage{graphicx}.\n"
    )
    captions = [f"{report.name}: {report.question}", *(table.title for table in report.tables[1:])]
    labels = [_slug(report.name), *(_slug(f"{report.name}-{one.title}") for one in report.tables[1:])]
    parts = zip(report.tables, captions, labels, strict=True)
    return head + "\n".join(
        render_latex_table(table, caption=caption, label=label) for table, caption, label in parts
    )


def escape(text: str) -> str:
    """Return `text` as one line that LaTeX prints as it is, in ASCII and Latin letters."""
    return "".join(_character(one) for one in " ".join(text.split()))


def _character(one: str) -> str:
    if one in _ESCAPES:
        return _ESCAPES[one]
    if one.isprintable() and ord(one) < 0x180:
        return one
    plain = unicodedata.normalize("NFKD", one).encode("ascii", "ignore").decode()
    # A letter that the font lacks would stop the compilation; its code point still tells what it was.
    return escape(plain) if plain.strip() else f"(U+{ord(one):04X})"


def _comment(text: str) -> str:
    return " ".join(text.split())


def render_latex_table(table: Table, *, caption: str, label: str) -> str:
    """Return one `table` environment.

    Args:
        table: What to lay out.
        caption: As plain text.
        label: What follows `tab:`, in small letters, digits and hyphens.
    """
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        rf"\label{{tab:{label}}}",
        r"\par\smallskip",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * _num_numbers(table)}}}",
        r"\toprule",
        *_head(table),
        r"\midrule",
    ]
    roles = [row.role for row in table.rows]
    for index, row in enumerate(table.rows):
        if index and roles[index] != roles[index - 1]:
            lines.append(r"\midrule")
        lines.append(" & ".join(_line(table, row)) + r" \\")
    lines.extend([r"\bottomrule", r"\end{tabular}}"])
    remarks = [rf"\textsuperscript{{{one.mark}}} {escape(one.text)}" for one in table.footnotes]
    if table.notes:
        remarks.append(" ".join(escape(note) for note in table.notes))
    if remarks:
        joined = " \\\\\n".join(remarks)
        lines.append(
            "\\par\\smallskip\n\\begin{minipage}{\\linewidth}\\footnotesize\\raggedright\n"
            f"{joined}\n\\end{{minipage}}"
        )
    lines.append(r"\end{table}")
    return "\n".join(lines) + "\n"


def _head(table: Table) -> list[str]:
    """Return the heading: suites over tasks over metrics."""
    extra = [""] * (table.has_seeds + table.has_coverage)
    groups, rules, place = [""], [], 2
    for suite, span in table.suites:
        groups.append(rf"\multicolumn{{{span}}}{{c}}{{{escape(suite)}}}")
        rules.append(rf"\cmidrule(lr){{{place}-{place + span - 1}}}")
        place += span
    titles = ["", *(_stack(column.title) for column in table.columns)]
    titles.extend(["Seeds"] * table.has_seeds + ["Tasks"] * table.has_coverage)
    metrics = [
        "",
        *(rf"{{\footnotesize {escape(one.metric)}}}" if one.metric else "" for one in table.columns),
    ]
    suites = [" & ".join(groups + extra) + r" \\", " ".join(rules)] if table.has_suites else []
    return [
        *suites,
        " & ".join(titles) + r" \\",
        " & ".join(metrics + extra) + r" \\",
    ]


def _stack(title: str) -> str:
    """Return a heading with long names cut between words into lines, so that columns stay narrow."""
    lines = [""]
    for part in re.split(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[-_./])|(?<= )", title):
        if lines[-1] and len(lines[-1]) + len(part) > _HEAD_LENGTH:
            lines.append("")
        lines[-1] += part
    if len(lines) == 1:
        return escape(title)
    stacked = r" \\ ".join(escape(line) for line in lines)
    return rf"\shortstack[r]{{{stacked}}}"


def _num_numbers(table: Table) -> int:
    return len(table.columns) + table.has_seeds + table.has_coverage


def _line(table: Table, row: Row) -> list[str]:
    label = escape(row.label) + (" (baseline)" if row.is_baseline else "")
    line = [label + _marks(row.notes), *(_cell(cell) for cell in row.cells)]
    if table.has_seeds:
        line.append(str(len(row.seeds) or ""))
    if table.has_coverage:
        line.append(row.coverage)
    return line


def _cell(cell: Cell) -> str:
    if cell.value is None:
        return (rf"\emph{{{escape(cell.text)}}}" if cell.text else "") + _marks(cell.notes)
    text = _SIGNED.sub(lambda sign: f"${sign.group(1)}$", cell.text)
    text = {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}", "": text}[cell.standing]
    mark = rf"\,\textsuperscript{{{escape(cell.mark)}}}" if cell.mark else ""
    spread = rf" {{\footnotesize $\pm$ {cell.spread_text}}}" if cell.spread_text else ""
    interval = rf" {{\footnotesize ({cell.interval_text})}}" if cell.interval_text else ""
    return text + mark + interval + spread + _marks(cell.notes)


def _marks(marks: Sequence[str]) -> str:
    return rf"\textsuperscript{{{','.join(marks)}}}" if marks else ""


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")

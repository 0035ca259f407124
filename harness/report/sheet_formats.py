"""Sheets as CSV, Markdown, LaTeX, JSON and an HTML fragment.

Owns the layout of each format. The rule: the same sheet gives the same bytes, every string is escaped,
and CSV holds the numbers alone, so that its remarks have to be told elsewhere.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup
from markupsafe import escape as escape_html

from harness.report import latex, markdown
from harness.report.sheet import Sheet, SheetCell, SheetRow


def render_csv(sheet: Sheet) -> str:
    """Return the numbers: one line a row, blank where there is none."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_heads(sheet))
    for row in sheet.rows:
        last = [row.last] if sheet.last_head else []
        writer.writerow([*row.labels, *(cell.text for cell in row.cells), *last])
    return buffer.getvalue()


def render_markdown(sheet: Sheet) -> str:
    """Return the table with its footnotes, aligned so that it reads well unrendered."""
    lines = []
    for row in sheet.rows:
        first = markdown.escape(row.labels[0]) if row.labels[0] else ""
        first = f"*{first}*" if row.role == "reference" and first else first
        first += "".join(f" [{mark}]" for mark in row.marks)
        rest = [markdown.escape(label) for label in row.labels[1:]]
        last = [row.last] if sheet.last_head else []
        lines.append([first, *rest, *(_markdown_cell(cell) for cell in row.cells), *last])
    parts = [
        f"### {markdown.escape(sheet.title)}",
        markdown.align([markdown.escape(head) for head in _heads(sheet)], lines),
        "\n".join(f"- [{one.mark}] {markdown.escape(one.text)}" for one in sheet.footnotes),
        " ".join(markdown.escape(note) for note in sheet.notes),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def render_latex(sheet: Sheet) -> str:
    """Return one `table` environment; needs booktabs and graphicx."""
    numbers = len(sheet.heads) + bool(sheet.last_head)
    lines = [
        r"% Needs \usepackage[T1]{fontenc}, \usepackage{booktabs} and \usepackage{graphicx}.",
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{latex.escape(sheet.title)}}}",
        r"\par\smallskip",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{'l' * len(sheet.label_heads)}{'r' * numbers}}}",
        r"\toprule",
        " & ".join(latex.escape(head) for head in _heads(sheet)) + r" \\",
        r"\midrule",
    ]
    before = None
    for row in sheet.rows:
        if before not in (None, row.role):
            lines.append(r"\midrule")
        before = row.role
        lines.append(_latex_line(sheet, row))
    lines += [r"\bottomrule", r"\end{tabular}}"]
    remarks = [rf"\textsuperscript{{{one.mark}}} {latex.escape(one.text)}" for one in sheet.footnotes]
    remarks += [" ".join(latex.escape(note) for note in sheet.notes)] if sheet.notes else []
    if remarks:
        joined = " \\\\\n".join(remarks)
        lines.append(
            "\\par\\smallskip\n\\begin{minipage}{\\linewidth}\\footnotesize\\raggedright\n"
            f"{joined}\n\\end{{minipage}}"
        )
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def render_json(sheet: Sheet) -> str:
    """Return everything that other formats show, with the numbers before rounding."""
    notes = {one.mark: one.text for one in sheet.footnotes}
    document = {
        "title": sheet.title,
        "columns": list(sheet.heads),
        "rows": [
            {
                **dict(zip(sheet.label_heads, row.labels, strict=True)),
                "role": row.role,
                "values": {head: cell.value for head, cell in zip(sheet.heads, row.cells, strict=True)},
                "shown": {head: cell.text for head, cell in zip(sheet.heads, row.cells, strict=True)},
                **({sheet.last_head: row.last} if sheet.last_head else {}),
                "footnotes": [notes[mark] for mark in _marks_of(row)],
                **row.facts,
            }
            for row in sheet.rows
        ],
        "notes": list(sheet.notes),
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def render_html(sheet: Sheet) -> str:
    """Return a `figure` to be put into a page: a table and its footnotes, no style and no script."""
    e = escape_html
    heads = "".join(f'<th scope="col">{e(head)}</th>' for head in _heads(sheet))
    lines = [
        "<figure>",
        "<table>",
        f"<caption>{e(sheet.title)}</caption>",
        f"<thead><tr>{heads}</tr></thead>",
        "<tbody>",
    ]
    for row in sheet.rows:
        first, *rest = row.labels
        cells = f'<th scope="row">{e(first)}{_html_marks(row.marks)}</th>'
        cells += "".join(f"<td>{e(label)}</td>" for label in rest)
        cells += "".join(f"<td>{_html_cell(cell)}</td>" for cell in row.cells)
        cells += f"<td>{e(row.last)}</td>" if sheet.last_head else ""
        lines.append(f'<tr class="{row.role}">{cells}</tr>')
    lines += ["</tbody>", "</table>", "<figcaption>"]
    lines += [f"<p><sup>{e(one.mark)}</sup> {e(one.text)}</p>" for one in sheet.footnotes]
    lines += [f"<p>{e(note)}</p>" for note in sheet.notes]
    return "\n".join([*lines, "</figcaption>", "</figure>"]) + "\n"


FORMATS: Mapping[str, Callable[[Sheet], str]] = {
    "md": render_markdown,
    "csv": render_csv,
    "tex": render_latex,
    "json": render_json,
    "html": render_html,
}
"""Name of a format -> what renders it."""


def _heads(sheet: Sheet) -> list[str]:
    return [*sheet.label_heads, *sheet.heads, *([sheet.last_head] if sheet.last_head else [])]


def _marks_of(row: SheetRow) -> list[str]:
    return [*row.marks, *(mark for cell in row.cells for mark in cell.marks)]


def _markdown_cell(cell: SheetCell) -> str:
    text = {"best": f"**{cell.text}**", "second": f"<u>{cell.text}</u>", "": cell.text}[cell.standing]
    return text + "".join(f" [{mark}]" for mark in cell.marks)


def _latex_line(sheet: Sheet, row: SheetRow) -> str:
    first = latex.escape(row.labels[0]) + _latex_marks(row.marks)
    parts = [first, *(latex.escape(label) for label in row.labels[1:])]
    for cell in row.cells:
        text = cell.text.replace("-", "$-$", 1) if cell.text.startswith("-") else cell.text
        text = {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}", "": text}[
            cell.standing
        ]
        parts.append(text + _latex_marks(cell.marks))
    return " & ".join([*parts, *([latex.escape(row.last)] if sheet.last_head else [])]) + r" \\"


def _latex_marks(marks: Sequence[str]) -> str:
    return rf"\textsuperscript{{{','.join(marks)}}}" if marks else ""


def _html_cell(cell: SheetCell) -> Markup:
    tags = {"best": ("<strong>", "</strong>"), "second": ("<u>", "</u>"), "": ("", "")}[cell.standing]
    return Markup(tags[0]) + escape_html(cell.text) + Markup(tags[1]) + _html_marks(cell.marks)  # noqa: S704


def _html_marks(marks: Sequence[str]) -> Markup:
    return Markup("").join(Markup("<sup>{}</sup>").format(mark) for mark in marks)

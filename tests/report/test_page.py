from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from harness.records.schema import Record
from harness.records.summary import StudySummary
from harness.report.content import Report
from harness.report.page import render_page, soften
from tests.report.hostile import EVIL, make_hostile

VOID = {"meta", "br", "wbr", "img", "input", "link", "hr"}
DRAWN = {"line", "circle"}


class Outline(HTMLParser):
    """Collects tags with their attributes and the visible text, and checks that tags are balanced."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in DRAWN
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render_page(report)


@pytest.fixture(scope="module")
def outline(page: str) -> Outline:
    return Outline(page)


@pytest.fixture(scope="module")
def hostile_page() -> str:
    return render_page(Report(*make_hostile()))


def test_the_page_loads_nothing_from_anywhere(page: str, outline: Outline) -> None:
    assert "://" not in page
    assert "@import" not in page
    assert "url(" not in page
    for tag, attributes in outline.tags:
        assert "src" not in attributes, tag
        assert attributes.get("href", "#").startswith("#"), tag
        assert tag not in {"script", "link", "iframe", "img", "object", "form"}


def test_the_page_forbids_itself_scripts_and_the_network(outline: Outline) -> None:
    (policy,) = [
        one["content"] for one in outline.all("meta") if "Content-Security" in one.get("http-equiv", "")
    ]
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy


def test_hostile_strings_stay_text(hostile_page: str) -> None:
    outline = Outline(hostile_page)
    for tag, attributes in outline.tags:
        assert tag not in {"script", "img"}
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("href", "#").startswith("#")
    first_line = EVIL.split("\n")[0]
    assert first_line in outline.text
    assert "<script>" not in hostile_page


def test_links_lead_to_places_on_the_page(hostile_page: str) -> None:
    outline = Outline(hostile_page)
    names = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(names) == len(set(names))
    targets = {one["href"].removeprefix("#") for one in outline.all("a")}
    assert targets
    assert targets <= set(names)


def test_tables_are_told_to_screen_readers(outline: Outline, report: Report) -> None:
    assert outline.all("html") == [{"lang": "en"}]
    assert len(outline.all("caption")) == len(outline.all("table")) == len(report.tables)
    assert all(one.get("scope") in {"col", "row", "colgroup"} for one in outline.all("th"))
    num_rows = sum(len(table.rows) for table in report.tables)
    assert sum(one.get("scope") == "row" for one in outline.all("th")) == num_rows
    labels = [one["aria-labelledby"] for one in outline.all("section")]
    assert set(labels) <= {one.get("id") for one in outline.all("h2")}


def test_every_number_of_the_tables_is_on_the_page(outline: Outline, report: Report) -> None:
    text = outline.text.replace("\u2212", "-")
    for table in report.tables:
        for row in table.rows:
            for cell in row.cells:
                assert cell.text in text
                assert cell.spread_text in text


def test_an_empty_cell_tells_its_reason_under_the_pointer_and_to_screen_readers(
    page: str, outline: Outline
) -> None:
    blank = [one for one in outline.all("td") if "not_applicable" in one.get("class", "")]
    assert blank
    assert all("BM25 ranks documents" in one["title"] for one in blank)
    assert '<span class="quiet">not applicable</span>' in page


def test_a_cell_with_seeds_tells_them_under_the_pointer(outline: Outline) -> None:
    titles = [one.get("title", "") for one in outline.all("td")]
    assert any(re.fullmatch(r"seed 0: \d+\.\d\d, seed 1: \d+\.\d\d", title) for title in titles)


def test_the_figure_has_a_dot_for_each_seed_of_each_variant(outline: Outline, report: Report) -> None:
    primary = report.table.primary or 0
    seeds = sum(row.cells[primary].num_seeds for row in report.table.rows if row.role == "variant")
    dots = outline.all("circle")
    assert len(dots) == seeds
    assert all(0 <= float(one["cx"].rstrip("%")) <= 100 for one in dots)
    assert "untrained" in outline.text


def test_the_page_answers_the_question_first(page: str) -> None:
    order = [
        "What the numbers say",
        "Variants side by side",
        ">Scores<",
        "Differences",
        "How this was made",
    ]
    places = [page.index(text) for text in order]
    assert places == sorted(places)


def test_the_page_follows_the_readers_colours_and_prints(page: str) -> None:
    assert "@media (prefers-color-scheme: dark)" in page
    assert "@media print" in page
    assert '<meta name="color-scheme" content="light dark">' in page


@pytest.mark.parametrize("scheme", [0, 1])
def test_words_stand_out_from_the_paper(page: str, scheme: int) -> None:
    """WCAG 2.1, success criterion 1.4.3: a contrast of 4.5 to 1 for text."""
    block = re.findall(r":root \{(.*?)\}", page, flags=re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    for name in ("ink", "soft", "accent", "up", "down"):
        assert _contrast(colours[name], colours["paper"]) >= 4.5, name
        assert _contrast(colours[name], colours["tint"]) >= 4.5, name


def test_signs_are_real_minus_signs(page: str, outline: Outline) -> None:
    assert "\u221211.32" in outline.text
    assert not re.search(r"(?<![\w.])-\d+\.\d\d\b", outline.text)


def test_a_study_without_any_record_still_has_a_page(summary: StudySummary) -> None:
    outline = Outline(render_page(Report(summary, [])))
    assert "No variant is complete yet" in outline.text
    assert "harness run reconstruction-news" in outline.text
    assert not outline.all("circle")


def test_a_study_of_one_row_has_neither_differences_nor_effects(
    summary: StudySummary, records: list[Record]
) -> None:
    alone = replace(summary, rows=summary.rows[:1])
    outline = Outline(render_page(Report(alone, records)))
    assert len(outline.all("table")) == 1


def test_long_names_may_break_between_words() -> None:
    assert soften("BBCTopic<i>") == "BBCTopic&lt;i&gt;"
    assert soften("a_bCd") == "a_<wbr>b<wbr>Cd"


def _contrast(first: str, second: str) -> float:
    low, high = sorted(_luminance(colour) for colour in (first, second))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

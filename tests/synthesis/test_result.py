"""The result as a folder: a source that studies take, with provenance, drops and a page that add up."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli.main import app
from harness.data.formats import read_files
from harness.execution.lone_run import LoneRun
from harness.execution.naming import find_step
from harness.execution.noted import read_noted
from harness.execution.overseen import RunCancelledError
from harness.execution.overview import look_over
from harness.execution.runs import Ask, Runs
from harness.execution.store import ArtifactStore
from harness.identity import file_sha256
from harness.plan import compile_plan
from harness.report.synthesis_page import render_synthesis
from harness.study import load_study
from tests.study.builders import edited, write_study
from tests.synthesis.builders import write
from tests.synthesis.unruly_server import Act, fields_of, unruly


def _play(request: dict[str, Any], _before: int) -> Act:
    is_example = fields_of(request) != ["tasks"]
    return Act(text="no JSON") if is_example and request["seed"] % 4 == 0 else Act()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command leaves, with a quarter of the answers dropped."""
    place = tmp_path_factory.mktemp("result")
    kinds = dict.fromkeys(("short-long", "long-short", "short-short", "long-long", "sts", "bitext"), 1)
    with unruly(_play) as server:
        file = write(place, server.url, kinds=kinds, size=40, name="sixfold")
        done = CliRunner().invoke(app, ["synthesize", str(file), "--to", str(place / "out"), "--json"])
    assert done.exit_code == 0, done.output
    return place / "out"


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_the_data_is_what_a_study_reads(folder: Path) -> None:
    pairs = list(read_files(folder / "data.jsonl"))
    assert len(pairs) == 40
    by_kind = Counter(pair.dataset for pair in pairs)
    assert set(by_kind) == {"short-long", "long-short", "short-short", "long-long", "sts", "bitext"}
    for pair in pairs:
        assert pair.instruction
        has_negative = pair.dataset not in {"short-short", "long-long"}
        assert len(pair.negatives) == has_negative


def test_every_draw_is_in_the_data_or_among_the_drops(folder: Path) -> None:
    kept, drops = _lines(folder / "origins.jsonl"), _lines(folder / "drops.jsonl")
    draws = sorted(line["draw"] for line in kept + drops)
    assert draws == list(range(len(draws)))
    counts = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["counts"]
    assert counts["kept"] == len(kept) == 40
    assert counts["dropped"] == len(drops) == counts["reasons"]["not JSON"] > 0
    assert counts["draws"] == len(draws)
    answers = {line["key"] for line in _lines(folder / "requests.jsonl") if line["event"] == "reply"}
    assert {line["key"] for line in kept + drops} <= answers
    brainstorms = sum(counted["requests"] for counted in counts["tasks"].values())
    assert len(answers) == len(draws) + brainstorms


def test_the_provenance_says_where_the_data_comes_from(folder: Path) -> None:
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["complete"]
    assert provenance["model"] == "m"
    assert provenance["served_by"] == ["model.gguf"]
    assert provenance["server"] == {
        "backend": "openai",
        "host": "this machine",
        "structure": "json_schema",
    }
    assert provenance["data"] == {"pairs": 40, "sha256": file_sha256(folder / "data.jsonl")}
    assert provenance["prompts"]["version"] == "v1"
    assert provenance["versions"]["openai"]
    assert provenance["date"].endswith("+00:00")


def test_a_second_run_leaves_the_same_data(folder: Path) -> None:
    before = {
        name: (folder / name).read_bytes() for name in ("data.jsonl", "drops.jsonl", "origins.jsonl")
    }
    # The server is gone: all is on disk.
    done = CliRunner().invoke(
        app, ["synthesize", str(folder.parent / "small.yaml"), "--to", str(folder)]
    )
    assert done.exit_code == 0, done.output
    assert before == {name: (folder / name).read_bytes() for name in before}
    assert "40 examples in 2 languages" in done.output
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["server"]["structure"] == "json_schema"


def test_a_study_trains_on_it_beside_other_data(folder: Path) -> None:
    (folder.parent / "real.jsonl").write_text('{"query": "a", "positive": "b"}\n', encoding="utf-8")
    text = edited(
        "  news: {kind: bbc, path: news}\n",
        """\
  news: {kind: bbc, path: news}
  real: {kind: files, path: real.jsonl}
  written: {kind: files, path: out/data.jsonl}
""",
    )
    text = text.replace("{source: news, pairs: headlines}", "{source: real}")
    text = text.replace("contrastive.temperature: [0.02, 0.05]", "data.source: [real, written]")
    plan = compile_plan(load_study(write_study(folder.parent, text, name="study.yaml")))
    sources = [step.config for step in plan.steps.values() if step.stage == "source"]
    assert file_sha256(folder / "data.jsonl") in json.dumps(sources)
    assert len(sources) >= 2


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        assert not {"src", "href"} & {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_shows_kinds_languages_and_drops_and_loads_nothing(folder: Path) -> None:
    reader = _Reader()
    reader.feed((folder / "statistics.html").read_text(encoding="utf-8"))
    text = " ".join(" ".join(reader.words).split())
    assert reader.tags["script"] == 0
    # A bar for each of six kinds and two languages.
    assert reader.tags["rect"] == 8
    for word in ("short-long", "bitext", "English", "German", "not JSON", "sixfold"):
        assert word in text


def test_the_page_escapes_what_a_server_says(folder: Path) -> None:
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    provenance["served_by"] = ["<script>alert(1)</script>"]
    provenance["name"] = "<b>bold</b>"
    page = render_synthesis(provenance)
    assert "<script>" not in page
    assert "<b>" not in page


def test_the_cap_ends_with_exit_code_1_and_what_is_there(tmp_path: Path) -> None:
    with unruly() as server:
        file = write(
            tmp_path,
            server.url,
            kinds={"sts": 1},
            sampling={"max_tokens": 60},
            spending={"input_per_million": 10.0, "output_per_million": 20.0, "cap": 0.0125},
        )
        done = CliRunner().invoke(
            app, ["synthesize", str(file), "--to", str(tmp_path / "out"), "--json"]
        )
    assert done.exit_code == 1
    provenance = json.loads((tmp_path / "out" / "provenance.json").read_text(encoding="utf-8"))
    pairs = list(read_files(tmp_path / "out" / "data.jsonl"))
    assert not provenance["complete"]
    assert provenance["stopped"] == "the spending cap is reached"
    assert provenance["data"]["pairs"] == len(pairs) > 0
    assert provenance["books"]["cost"] <= 0.0125


def test_a_run_is_seen_while_it_lasts_and_can_be_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "store"
    monkeypatch.setenv("HARNESS_HOME", str(home))
    monkeypatch.setattr("harness.execution.lone_run.LoneRun", partial(LoneRun, look_seconds=0.0))
    seen: list[str] = []
    # Requests come from several threads at once.
    first = Lock()

    def play(request: dict[str, Any], _before: int) -> Act:
        if fields_of(request) != ["tasks"] and first.acquire(blocking=False):
            plan = read_noted(home, "small-synthesis")
            assert plan is not None
            overview = look_over(plan, ArtifactStore(home))
            seen.extend(one.state for one in overview.steps)
            Runs(home).ask(overview.runs[0], Ask(verb="cancel", steps=None, why="a test"))
        return Act()

    with unruly(play) as server:
        file = write(tmp_path, server.url, size=40)
        command = ["synthesize", str(file), "--to", str(tmp_path / "out"), "--json"]
        cancelled = CliRunner().invoke(app, command)
        assert isinstance(cancelled.exception, RunCancelledError)
        assert seen == ["running"]
        assert read_noted(home, "small-synthesis") is None
        assert not Runs(home).living()
        step = find_step(ArtifactStore(home), "synthesis-")
        log = ArtifactStore(home).log_file(step.stage, step.fingerprint).read_text()
        assert "examples: " in log
        done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert len(_lines(tmp_path / "out" / "data.jsonl")) == 40


def test_a_dry_run_asks_nothing_and_foretells_tokens_and_money(tmp_path: Path) -> None:
    with unruly() as server:
        prices = {"input_per_million": 1.0, "output_per_million": 2.0, "cap": 3.0}
        file = write(tmp_path, server.url, size=5000, spending=prices)
        done = CliRunner().invoke(app, ["synthesize", str(file), "--dry-run", "--json"])
        table = CliRunner().invoke(app, ["synthesize", str(file), "--dry-run"])
    assert not server.seen
    assert done.exit_code == table.exit_code == 0
    told = json.loads(done.stdout)
    total = told["lines"][-1]
    parts = told["lines"][:-1]
    for name in ("requests", "input_tokens", "output_tokens"):
        assert total[name] == sum(part[name] for part in parts) > 0
    assert sum(part["requests"] for part in parts if part["name"].startswith("example")) == 5000
    likely = (total["input_tokens"] * 1 + total["output_tokens"] * 2) / 1e6
    assert total["cost"] == pytest.approx(likely)
    assert total["most_cost"] > total["cost"]
    assert "The cap is 3" in table.output

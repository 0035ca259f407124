"""Every verb ends wrong use with exit code 2, one message on stderr and no traceback."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from harness.cli.progress import RunDisplay
from harness.cli.verbs import VERBS, load_verb
from harness.plan.graph import make_step
from harness.study.document import Resources
from tests.command import run_harness
from tests.study.builders import edited, write_study


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "quickstrat"], "Did you mean 'quickstart'?"),
        (["run", "gone.yaml"], "gone.yaml: no such file"),
        (["status", "quickstrat"], "Did you mean 'quickstart'?"),
        (["tables", "quickstrat"], "no records of 'quickstrat'"),
        (["report", "quickstrat", "--to", "x"], "no records of 'quickstrat'"),
        (["verify", "quickstrat"], "quickstrat"),
        (["plan", "quickstart", "--profile", "latop"], "Did you mean 'laptop'?"),
        (["evaluate", "bm25", "--tasks", "SciFakt", "--to", "x"], "Did you mean 'SciFact'?"),
        (["run", "quickstart", "--backend", "slurm"], "slurm"),
        (["run", "quickstart", "--home", "/proc/no", "--backend", "in-process"], "/proc/no"),
        (["run", "quickstart", "--home", "gone", "--address", "127.0.0.1:1"], "no Ray cluster answers"),
        (["doctor", "gone"], "'gone' is no model"),
        (["doctor", "org/gone", "--mirror", "nowhere"], "is in none of the mirrors"),
        (["nonsense"], "nonsense"),
        (["plna"], "Did you mean 'plan'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_use_ends_with_a_message(arguments: list[str], said: str) -> None:
    done = run_harness(*arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_wrong_study_is_told_with_its_line(tmp_path: Path) -> None:
    path = write_study(tmp_path, edited("steps: 4", "stepz: 4"))
    done = run_harness("plan", str(path))
    assert done.returncode == 2
    assert f"{path}:11: recipe.contrastive.stepz: unknown field" in done.stderr


def test_plan_says_the_same_as_text_and_as_json(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    home = ["--home", str(tmp_path / "store")]
    plan = json.loads(run_harness("plan", str(path), "--json", *home).stdout)
    text = run_harness("plan", str(path), *home).stdout
    assert plan["counts"] == {"run": 11, "reuse": 0, "wait": 0}
    assert all(step["step"] in text for step in plan["steps"])
    assert all(step["reason"] for step in plan["steps"])
    assert not (tmp_path / "store").exists()


def test_every_verb_explains_itself_with_an_example() -> None:
    assert list(VERBS) == [
        *("plan", "run", "submit", "status", "logs", "cancel", "retry", "gc"),
        *("tables", "compare", "import", "report", "search", "publish", "verify"),
        *("evaluate", "prefetch", "synthesize", "doctor", "schema", "data"),
    ]
    for name in VERBS:
        loaded = load_verb(name)
        for command in getattr(loaded, "commands", {name: loaded}).values():
            assert "Example" in command.help, (name, command.name)


@pytest.mark.parametrize("name", VERBS)
def test_the_list_of_verbs_tells_each_by_the_first_line_of_its_own_help(name: str) -> None:
    first, _, _ = inspect.cleandoc(load_verb(name).help).partition("\n\n")
    assert VERBS[name].summary == " ".join(first.split())


def test_a_run_shows_each_end_on_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    step = make_step("download", {"name": "x"}, label="[x] of y", resources=Resources())
    with RunDisplay(2, home="/store") as display:
        display("started", step, "")
        display("failed", step, "no such [package]")
        display("skipped", step, "needs download-x")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"failed {step.name} [x] of y")
    assert lines[1].strip() == "no such [package]"
    assert lines[2].strip() == f"log: /store/logs/download-{step.fingerprint}.log"
    assert lines[3].startswith("skipped ")

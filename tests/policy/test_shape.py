"""The rules of shape: short files, honest names, one direction of imports, cheap start."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from harness.records.store import write_records
from harness.records.summary import write_summary
from tests.conftest import REPOSITORY
from tests.tables.fake_study import make_records, make_summary
from tests.tables.per_query import write_per_query

MODULES = sorted((REPOSITORY / "harness").rglob("*.py"))
SOURCES = [*MODULES, *sorted((REPOSITORY / "tests").rglob("*.py"))]
HEAVY = (
    "torch",
    "transformers",
    "mteb",
    "beir",
    "ray",
    "datasets",
    "sentence_transformers",
    "peft",
    "sklearn",
)
NUMERIC = ("numpy", "pandas", "scipy", "pyarrow", "matplotlib", "statsmodels", "optuna")
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60


def _name(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < MAX_FUNCTION_LINES, node.name


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_modules_say_what_they_own_and_are_not_named_vaguely(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring
    assert len(docstring) > 20
    assert path.stem not in {"util", "utils", "helper", "helpers", "manager", "common", "misc"}


def test_packages_import_in_one_direction() -> None:
    tool = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [tool, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def _loaded_by(*arguments: str, folder: Path = REPOSITORY, among: tuple[str, ...] = HEAVY) -> set[str]:
    """Return which packages, of the heavy ones, a command leaves loaded when it is run in `folder`."""
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(REPOSITORY)!r})\n"
        f"sys.argv = ['harness', *{list(arguments)!r}]\n"
        "from harness.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code in (0, None), end.code\n"
        f"print('LOADED', *[name for name in {among!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    last = done.stdout.strip().splitlines()[-1].split()
    assert last[0] == "LOADED"
    return set(last[1:])


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("plan", "quickstart"),
        ("plan", "quickstart", "--json"),
        ("schema",),
        ("status", "quickstart"),
        ("synthesize", "two-step", "--dry-run"),
    ],
    ids=" ".join,
)
def test_everyday_verbs_load_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert _loaded_by(*arguments) == set()


def test_no_verb_loads_anything_heavy_to_explain_itself() -> None:
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from harness.cli.verbs import VERBS, load_verb\n"
        "for name in VERBS:\n    load_verb(name)\n"
        f"print(*[name for name in {(*HEAVY, *NUMERIC)!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("verb", [None, "plan", "tables", "verify", "compare", "import", "report"])
def test_the_help_of_daily_verbs_loads_no_study_and_no_records(verb: str | None) -> None:
    parts = ("harness.study", "harness.plan", "harness.execution", "harness.records", "yaml")
    assert _loaded_by(*([verb] if verb else []), "--help", among=(*HEAVY, *NUMERIC, *parts)) == set()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a published study and its per-query scores, nothing else."""
    folder = tmp_path_factory.mktemp("reader")
    results = folder / "results" / "reconstruction-news"
    results.mkdir(parents=True)
    write_summary(make_summary(), results / "study.json")
    write_records(results / "records.jsonl", make_records())
    write_per_query(make_records(), results)
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ("tables", "reconstruction-news"),
        ("tables", "reconstruction-news", "--rows", "pairs", "--columns", "type"),
        ("compare", "untrained", "BM25"),
        ("report", "reconstruction-news"),
        ("publish", "reconstruction-news"),
        ("verify",),
    ],
    ids=" ".join,
)
def test_the_readers_verbs_load_nothing_heavy(arguments: tuple[str, ...], published: Path) -> None:
    assert not (published / ".harness").exists()
    if arguments[0] == "verify":
        _loaded_by("publish", "reconstruction-news", folder=published)
    assert _loaded_by(*arguments, folder=published) == set()


def test_the_project_speaks_of_no_machine() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in tracked:
        path = REPOSITORY / name
        if path.suffix in {".py", ".md", ".yaml", ".toml", ".txt", ".cff"} and path.is_file():
            text = path.read_text(encoding="utf-8")
            assert "/home/" not in text.replace('"/home/"', ""), name
            assert "/root/" not in text.replace('"/root/"', ""), name

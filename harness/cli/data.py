"""`harness data`: what lies in a mirror, and whether it is what it was."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.cli import overlap
from harness.cli.options import JsonOption, ProfileOption, print_json
from harness.cli.training_data import show_command, sources_command
from harness.data.mirrors import check_needs, entry_of, faults, own_manifest
from harness.errors import DataError
from harness.plan import compile_plan
from harness.plan.needs import hub_needs
from harness.study import find_study, load_study

app = typer.Typer(
    help="What there is to train on, what lies in a mirror, and whether it is what it was.",
    no_args_is_help=True,
)
app.command("sources")(sources_command)
app.command("show")(show_command)
app.command("overlap")(overlap.command)

_DirArgument = Annotated[
    Path, typer.Argument(metavar="DIR", envvar="HARNESS_MIRROR", help="The mirror.", show_default=False)
]
_StudyOption = Annotated[
    str | None, typer.Option("--study", metavar="STUDY", help="Say which of its tasks need what.")
]


@app.command("list")
def list_command(
    folder: _DirArgument,
    study: _StudyOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """List the repositories of a mirror with size, revision and licence.

    Example: `harness data list ./mirror --study quickstart`
    """
    wanted = _wanted(study, profile)
    rows: list[dict[str, Any]] = [
        {**_describe(folder, name), "needed_by": list(wanted.pop(name, ()))} for name in _names(folder)
    ]
    rows += [
        {"name": name, "size": None, "revision": "", "licence": "", "needed_by": list(by)}
        for name, by in wanted.items()
    ]
    if json:
        print_json({"mirror": str(folder), "repositories": rows})
        return
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("repository", "MB", "revision", "licence", *(["needed by"] if study else [])):
        table.add_column(heading, overflow="fold", justify="right" if heading == "MB" else "left")
    for row in rows:
        size = "missing" if row["size"] is None else f"{row['size'] / 1e6:.1f}"
        cells = [str(row["name"]), size, str(row["revision"])[:12], str(row["licence"])]
        needed = [", ".join(row["needed_by"]) or "-"] if study else []
        table.add_row(*(escape(cell) for cell in (*cells, *needed)))
    (Console() if sys.stdout.isatty() else Console(width=200)).print(table)


@app.command("check")
def check_command(
    folder: _DirArgument,
    study: _StudyOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Compare every file that a manifest names with its size and SHA-256.

    With --study also whether all is there that the study needs. Exit code 1: something differs.

    Example: `harness data check ./mirror`
    """
    states = {}
    for name in _names(folder):
        found = [f"FAULT: {one}" for one in faults(folder, name, contents=True)]
        is_promised = entry_of(folder, name) is not None
        states[name] = found or ["as promised" if is_promised else "no manifest: not checked"]
    has_faults = any(one.startswith("FAULT") for found in states.values() for one in found)
    if json:
        print_json({"mirror": str(folder), "faults": has_faults, "repositories": states})
    else:
        for name, found in states.items():
            sys.stdout.write(f"{name}: {'; '.join(found)}\n")
    if study is not None:
        needs = hub_needs(compile_plan(load_study(find_study(study), profile=profile)).steps.values())
        check_needs(needs, [folder], command=f"harness prefetch {study} --to {folder}")
    if has_faults:
        raise typer.Exit(1)


def _names(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder", cure="a mirror holds <org>/<name>/ for every repository"
        )
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.glob("[!.]*/[!.]*/") if path.is_dir()
    )


def _wanted(study: str | None, profile: str | None) -> dict[str, tuple[str, ...]]:
    if study is None:
        return {}
    plan = compile_plan(load_study(find_study(study), profile=profile))
    return {need.name: need.wanted_by for need in hub_needs(plan.steps.values())}


def _describe(root: Path, name: str) -> dict[str, Any]:
    entry = entry_of(root, name)
    files = (path for path in (root / name).rglob("*") if path.is_file())
    return {
        "name": name,
        "size": sum(path.stat().st_size for path in files),
        "revision": entry.revision if entry else "",
        "licence": _licence(root / name),
    }


def _licence(folder: Path) -> str:
    """Return the licence that a repository names: its README's front matter, or its own manifest."""
    for said in (_front_matter(folder / "README.md"), own_manifest(folder)):
        if licence := said.get("license") or said.get("licence"):
            return ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence)
    return ""


def _front_matter(readme: Path) -> dict[str, Any]:
    try:
        text = readme.read_text(encoding="utf-8")
        front = yaml.safe_load(text.split("---", 2)[1]) if text.startswith("---") else {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, IndexError):
        return {}
    return front if isinstance(front, dict) else {}

"""Where the records of a study are.

Owns the meaning of STUDY for the verbs that only read: a folder, a name, or a study's YAML file. The
rule: records of the store come before published ones, and a study that is found nowhere is answered
with the names that there are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import RecordError, did_you_mean

if TYPE_CHECKING:
    from harness.records.store import MergedRecords
    from harness.records.summary import StudySummary

SUMMARY_NAME = "study.json"
RECORDS_NAME = "records.jsonl"
RESULTS = Path("results")
"""Folder of published records, below the current one."""
IMPORTS = "imports"
"""Folder of the store that holds imported records."""
PAPERS = "published"
"""Folder of papers' tables, below the published records."""
PAPER_NAME = "paper.json"
STUDIES = Path("ablations")
"""Folder of study files, below the current one."""


def locate_records(study: str, *, home: Path | None = None, results: Path = RESULTS) -> Path:
    """Return the folder that holds `study.json` and `records.jsonl` of a study.

    Args:
        study: Such a folder, the study's name, or its YAML file.
        home: The store; `.harness` if empty.
        results: Where published studies are.

    Raises:
        RecordError: If there are no records of the study, with the names of those that there are.
    """
    if has_records(Path(study)):
        return Path(study)
    name = study_name(study)
    for root in (stored_studies(home, name), results):
        if has_records(root / name):
            return root / name
    roots = (stored_studies(home), results)
    known = sorted({folder.name for root in roots for folder in published(root)})
    listed = f"records are there of: {', '.join(known)}.{did_you_mean(name, known)}" if known else ""
    raise RecordError(
        f"no records of {name!r} in {' or '.join(str(root) for root in roots)}",
        cure=listed or f"`harness run {study}` makes them",
    )


def locate_any(study: str, *, home: Path | None = None) -> Path:
    """Return the folder that holds any `records.jsonl`: of a study, of an import or of a paper.

    Args:
        study: Such a folder, or the name of a study, of an import in the store or of a paper.
        home: The store; `.harness` if empty.

    Raises:
        RecordError: If there is none, with the names of those that there are.
    """
    imports = (home or Path(".harness")) / IMPORTS
    for folder in (Path(study), imports / study, RESULTS / PAPERS / study):
        if (folder / RECORDS_NAME).is_file():
            return folder
    return locate_records(study, home=home)


def stored_studies(home: Path | None, *names: str) -> Path:
    """Return the folder with the stored studies, where those named, or all, can be read.

    Args:
        home: The store; `.harness` if empty.
        names: Of studies, which need not be there.
    """
    if home is not None:
        from harness.execution.homes import is_url, open_store

        if is_url(home):
            return open_store(home).fetch_studies(*names)
    return (home or Path(".harness")) / "studies"


def is_paper(folder: Path) -> bool:
    """Return whether `folder` holds a paper's printed tables."""
    return (folder / PAPER_NAME).is_file() and (folder / RECORDS_NAME).is_file()


def load_records(folder: Path) -> tuple[StudySummary, MergedRecords]:
    """Return the summary and the records in `folder`.

    Raises:
        RecordError: If one of the two files is missing, damaged or contradicts itself.
    """
    from harness.records import read_records, read_summary

    return read_summary(folder / SUMMARY_NAME), read_records(folder / RECORDS_NAME)


def published(root: Path) -> list[Path]:
    """Return the folders below `root` that hold a study's records, by name."""
    return sorted(folder for folder in root.glob("*") if has_records(folder))


def study_name(study: str) -> str:
    """Return the name of the study that `study` names or whose file it is."""
    import yaml

    path = Path(study)
    if path.suffix not in {".yaml", ".yml"}:
        listed = STUDIES / f"{study}.yaml"
        if not listed.is_file():
            return path.name or study
        path = listed
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecordError(
            f"{path}: no such file", cure="give a study's YAML file, name or folder"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: not a YAML file: {error}") from error
    name = document.get("name") if isinstance(document, dict) else None
    return name if isinstance(name, str) and name else path.stem


def has_records(folder: Path) -> bool:
    """Return whether `folder` holds a study's summary and records."""
    return (folder / SUMMARY_NAME).is_file() and (folder / RECORDS_NAME).is_file()

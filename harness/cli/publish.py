"""`harness publish`: freeze a study's records, tables and page for committing."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import typer

from harness.cli.locate import RECORDS_NAME, RESULTS, SUMMARY_NAME, load_records, locate_records
from harness.cli.options import HomeOption, JsonOption, StudyArgument, print_json
from harness.cli.verify import REPORTS
from harness.records.overlap import OVERLAP_NAME, read_overlap
from harness.records.per_query import PER_QUERY_NAME


def command(study: StudyArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Copy a study's records to results/STUDY and write its tables and page to reports/STUDY.

    What is there of an earlier publication is replaced. A reviewer's clone needs nothing else:
    `harness verify` rebuilds every table from results/ and compares.

    Example: `harness publish quickstart`
    """
    from harness.report.write import write_report
    from harness.tables.queries import read_queries

    source = locate_records(study, home=home)
    summary, records = load_records(source)
    results, reports = RESULTS / summary.name, REPORTS / summary.name
    frozen = _freeze(source, results)
    files = [
        *frozen,
        *write_report(
            summary, records, reports, queries=read_queries(results), overlap=read_overlap(results)
        ),
    ]
    num_lacking = sum(record.is_main and record.state in {"missing", "failed"} for record in records)
    if num_lacking:
        typer.echo(f"{num_lacking} scores are missing or failed; the table says which", err=True)
    commit = f"git add --force {shlex.quote(str(results))} {shlex.quote(str(reports))}"
    if json:
        print_json({"study": summary.name, "files": [str(file) for file in files], "commit": commit})
        return
    sys.stdout.write("".join(f"{file}\n" for file in files))
    sys.stderr.write(f"to commit them: {commit}\n")


def _freeze(source: Path, target: Path) -> list[Path]:
    """Copy what tables are made from, each file whole or not at all; return the paths."""
    target.mkdir(parents=True, exist_ok=True)
    files = []
    for name in (SUMMARY_NAME, RECORDS_NAME, PER_QUERY_NAME, OVERLAP_NAME):
        if not (source / name).is_file():
            (target / name).unlink(missing_ok=True)
            continue
        if source.resolve() != target.resolve():
            temporary = target / f".{name}.{os.getpid()}.tmp"
            shutil.copyfile(source / name, temporary)
            temporary.replace(target / name)
        files.append(target / name)
    return files

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.records.schema import Record
from harness.records.summary import StudySummary
from harness.report.write import RENDERERS, render_one, render_report, write_report
from tests.conftest import REPOSITORY
from tests.tables.fake_study import make_records, make_summary

HEAVY = ("torch", "ray", "mteb", "transformers", "datasets", "sentence_transformers", "beir", "pandas")


def test_all_files_are_written_and_nothing_else(
    summary: StudySummary, records: list[Record], tmp_path: Path
) -> None:
    paths = write_report(summary, records, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == list(RENDERERS)
    assert sorted((tmp_path / "new" / "folder").iterdir()) == sorted(paths)
    assert all(path.read_bytes().endswith(b"\n") and b"\r" not in path.read_bytes() for path in paths)


def test_writing_twice_gives_the_same_bytes(
    summary: StudySummary, records: list[Record], tmp_path: Path
) -> None:
    first = [path.read_bytes() for path in write_report(summary, records, tmp_path)]
    second = [path.read_bytes() for path in write_report(summary, records, tmp_path)]
    assert first == second


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_order_of_records_never_changes_a_byte(seed: int) -> None:
    records = make_records()
    shuffled = random.Random(seed).sample(records, len(records))
    assert render_report(make_summary(), shuffled) == render_report(make_summary(), records)


def test_bytes_do_not_depend_on_the_process(summary: StudySummary, records: list[Record]) -> None:
    code = (
        "from harness.identity import fingerprint; from harness.report.write import render_report; "
        "from tests.tables.fake_study import make_records, make_summary; "
        "print(fingerprint(render_report(make_summary(), make_records())))"
    )
    root = Path(__file__).resolve().parents[2]
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root), "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert len(digests) == 1


def test_one_file_alone_is_the_same_as_among_all(summary: StudySummary, records: list[Record]) -> None:
    texts = render_report(summary, records)
    assert all(render_one(summary, records, name) == text for name, text in texts.items())


def test_nothing_heavy_is_imported_to_write_a_report() -> None:
    code = (
        "import sys, harness.report.write, harness.cli.tables, harness.cli.report, harness.cli.verify; "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_study_with_scores_by_query_has_its_table_without_pandas() -> None:
    folder = REPOSITORY / "results" / "quickstart"
    assert (folder / "per_query.parquet").is_file()
    code = (
        "import sys\nfrom harness.cli.main import app\n"
        f"app(['tables', {str(folder)!r}], standalone_mode=False)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "quickstart" in done.stdout
    assert done.stderr.splitlines()[-1] == "[]"

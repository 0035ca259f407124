from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from msgspec import structs

from harness.errors import RecordError
from harness.records.schema import COLUMNS, Record
from harness.records.store import dump_records, merge, read_records, to_frame, write_records
from tests.tables.fake_study import make_records

ONE = make_records()[0]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "records.jsonl"
    write_records(path, make_records())
    assert read_records(path) == merge(make_records())


def test_a_line_holds_every_field_in_order() -> None:
    line = dump_records([ONE]).splitlines()[0]
    assert tuple(json.loads(line)) == COLUMNS


def test_writing_leaves_no_temporary_file(tmp_path: Path) -> None:
    write_records(tmp_path / "records.jsonl", make_records())
    assert [file.name for file in tmp_path.iterdir()] == ["records.jsonl"]


def test_a_value_replaces_a_failure_of_the_same_measurement() -> None:
    failed = structs.replace(ONE, value=None, state="failed", reason="out of memory")
    assert list(merge([failed], [ONE])) == [ONE]
    assert list(merge([ONE], [failed])) == [ONE]


def test_a_failure_replaces_an_absence() -> None:
    failed = structs.replace(ONE, value=None, state="failed", reason="out of memory")
    missing = structs.replace(ONE, value=None, state="missing", reason="not run yet")
    assert list(merge([missing, failed])) == [failed]


def test_equal_values_collapse_whatever_they_say_of_time_and_place() -> None:
    again = structs.replace(ONE, wall_seconds=99.0, source="elsewhere.json")
    assert len(merge([ONE], [again])) == 1
    assert merge([ONE], [again]) == merge([again], [ONE])


@pytest.mark.parametrize(
    ("field", "value"),
    [("value", 0.5), ("revision", "other"), ("prompt_hash", "0123"), ("dataset_revision", "bbc2")],
)
def test_a_contradiction_raises_and_shows_both_sides(field: str, value: object) -> None:
    other = structs.replace(ONE, **{field: value})
    with pytest.raises(RecordError) as caught:
        merge([ONE], [other])
    message = str(caught.value)
    assert f"{field}={getattr(ONE, field)!r}" in message
    assert f"{field}={value!r}" in message
    assert ONE.variant in message
    assert ONE.task in message


def test_a_value_and_not_applicable_contradict_each_other() -> None:
    other = structs.replace(ONE, value=None, state="not_applicable", reason="no embedding")
    with pytest.raises(RecordError, match="not_applicable"):
        merge([ONE, other])


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_an_ok_record_without_a_finite_value_is_refused(value: float | None, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="state 'ok'"):
        write_records(tmp_path / "records.jsonl", [structs.replace(ONE, value=value)])


def test_a_failed_record_with_a_value_is_refused() -> None:
    with pytest.raises(RecordError, match="'failed'"):
        merge([structs.replace(ONE, state="failed")])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"value": "high"}, "value"),
        ({"stat": "ok"}, "stat"),
        ({"state": "lost"}, "state"),
        ({"value": None}, "state 'ok'"),
    ],
)
def test_a_bad_line_is_named_by_file_line_and_field(
    tmp_path: Path, change: dict[str, object], expected: str
) -> None:
    path = tmp_path / "records.jsonl"
    good = dump_records([ONE])
    path.write_text(good + json.dumps({**json.loads(good), **change}) + "\n", encoding="utf-8")
    with pytest.raises(RecordError) as caught:
        read_records(path)
    assert f"{path}:2" in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize("place", [0, 1, 1999, 2000, 2001, 4499])
def test_among_thousands_of_lines_the_bad_one_is_named(place: int, tmp_path: Path) -> None:
    lines = dump_records(
        structs.replace(ONE, task=f"Task{number:04d}") for number in range(4500)
    ).splitlines()
    path = tmp_path / "records.jsonl"
    path.write_text("\n".join(["", *lines]) + "\n\n", encoding="utf-8")
    assert [one.task for one in read_records(path)] == [f"Task{number:04d}" for number in range(4500)]
    lines[place] = lines[place].replace('"is_main": true', '"is_main": 3')
    path.write_text("\n".join(["", *lines]) + "\n", encoding="utf-8")
    with pytest.raises(RecordError, match=rf"records\.jsonl:{place + 2}: not a record: .*is_main"):
        read_records(path)


@pytest.mark.parametrize("text", ["{line}, {line}", "[{line}]", "{line} {line}", "{half}"])
def test_a_line_that_is_not_one_record_is_refused(text: str, tmp_path: Path) -> None:
    line = dump_records([ONE]).strip()
    path = tmp_path / "records.jsonl"
    path.write_text(text.format(line=line, half=line[:90]) + "\n" + line[90:] + "\n", encoding="utf-8")
    with pytest.raises(RecordError, match=r"records\.jsonl:1: not a record"):
        read_records(path)


def test_a_line_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(dump_records([ONE])[:-20], encoding="utf-8")
    with pytest.raises(RecordError, match=r"records\.jsonl:1: not a record"):
        read_records(path)


def test_a_missing_file_names_the_command_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="harness run"):
        read_records(tmp_path / "records.jsonl")


def test_line_separators_inside_of_strings_do_not_split_a_record(tmp_path: Path) -> None:
    odd = structs.replace(ONE, value=None, state="failed", reason="first\u2028second\x85third")
    write_records(tmp_path / "records.jsonl", [odd])
    assert list(read_records(tmp_path / "records.jsonl")) == [odd]


def test_the_frame_has_a_line_a_record_and_typed_columns() -> None:
    frame = to_frame(make_records())
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == len(merge(make_records()))
    assert frame["value"].dtype == "float64"
    assert frame["seed"].dtype == pd.Int64Dtype()
    assert frame.loc[frame["variant"] == "untrained", "seed"].isna().all()


def test_the_frame_of_no_records_has_all_columns() -> None:
    assert list(to_frame([]).columns) == list(COLUMNS)


def test_records_are_read_as_the_type_that_was_written(tmp_path: Path) -> None:
    write_records(tmp_path / "records.jsonl", [ONE])
    (record,) = read_records(tmp_path / "records.jsonl")
    assert isinstance(record, Record)
    assert isinstance(record.languages, tuple)

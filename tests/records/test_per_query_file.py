"""The file of scores by query: written model by model and read part by part, it is one sorted table."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from harness.errors import RecordError
from harness.records import per_query
from harness.records.per_query import (
    iterate_study_scores,
    own_scores,
    read_study_scores,
    score_table,
    write_study_scores,
)
from harness.records.summary import Member
from harness.tables.queries import QueryScores, read_queries

OWNERS = [("a", 1, "s"), ("a", 2, "s"), ("b", None, "s"), ("b", None, "t"), ("a", None, "s")]
ORDER = ("variant", "seed", "suite", "task", "split", "subset", "unit", "metric", "query_id")


def _table(variant: str, seed: int | None, suite: str, *, task: str = "T", num: int = 7) -> pa.Table:
    names = [f"q{number}" for number in range(num)]
    random.Random(f"{variant}{seed}{suite}{task}").shuffle(names)
    half = num // 2
    columns: dict[str, list[Any]] = {
        "task": [task] * num,
        "split": ["test"] * num,
        "subset": ["de"] * half + ["en"] * (num - half),
        "unit": ["query"] * num,
        "metric": ["m"] * num,
        "query_id": names,
        "value": [0.001 * int(name[1:]) + 0.1 * len(variant + suite) for name in names],
    }
    return own_scores(score_table(columns), variant=variant, seed=seed, suite=suite)


def _lines(tables: list[pa.Table]) -> list[dict[str, object]]:
    lines = [line for table in tables for line in table.to_pylist()]
    return sorted(
        lines,
        key=lambda line: tuple((line[name] is None, line[name] or 0) for name in ORDER),
    )


TABLES = [_table(*owner, task=task) for task in ("T", "A") for owner in OWNERS]


@pytest.mark.parametrize("group", [1, 20, 10_000])
@pytest.mark.parametrize("is_mixed", [False, True])
def test_lines_are_sorted_whatever_the_order_of_tables(
    group: int, is_mixed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(per_query, "_GROUP", group)
    tables = list(reversed(TABLES))
    if is_mixed:
        tables = [pa.concat_tables(TABLES[:7]), *TABLES[7:]]
    write_study_scores(tmp_path / "x.parquet", tables)
    found = read_study_scores(tmp_path / "x.parquet")
    assert found is not None
    assert found.to_pylist() == _lines(TABLES)


def test_the_bytes_do_not_depend_on_the_order_of_tables(tmp_path: Path) -> None:
    for name, tables in (("x", TABLES), ("y", list(reversed(TABLES)))):
        write_study_scores(tmp_path / name, tables)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_without_scores_an_old_file_goes(tmp_path: Path) -> None:
    write_study_scores(tmp_path / "x", TABLES)
    write_study_scores(tmp_path / "x", [TABLES[0].slice(0, 0)])
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("size", [1, 3, 10, 1000])
def test_scores_read_in_parts_are_those_of_the_whole(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "per_query.parquet"
    write_study_scores(path, TABLES)
    whole = QueryScores([(0, pa.Table.from_batches(iterate_study_scores(path)))])
    monkeypatch.setattr(per_query, "_PART", size)
    parts = read_queries(tmp_path)
    assert parts is not None
    for variant, seed, suite in OWNERS:
        for task in ("T", "A"):
            member = Member(slug=variant, revision="", seed=seed)
            one, other = (
                found.find(member, suite=suite, task=task, metric="m") for found in (whole, parts)
            )
            assert one is not None
            assert other is not None
            assert np.array_equal(one.keys, other.keys)
            assert np.array_equal(one.values, other.values)
            assert (np.diff(one.keys) > 0).all()
            by_subset = [
                [
                    line["value"]
                    for line in _table(variant, seed, suite, task=task).to_pylist()
                    if line["subset"] == name
                ]
                for name in ("de", "en")
            ]
            assert one.values.mean() == pytest.approx(np.mean([np.mean(part) for part in by_subset]))


def test_models_that_were_asked_the_same_share_one_list_of_queries(tmp_path: Path) -> None:
    write_study_scores(
        tmp_path / "per_query.parquet", [_table(f"v{n}", 1, "s", num=1) for n in range(5)]
    )
    scores = read_queries(tmp_path)
    assert scores is not None
    found = scores.matrix(
        [Member(slug=f"v{n}", revision="", seed=1) for n in range(5)], suite="s", task="T", metric="m"
    )
    assert found is not None
    assert found[1].shape == (5, 1)
    keys = [
        one.keys
        for n in range(5)
        if (
            one := scores.find(
                Member(slug=f"v{n}", revision="", seed=1), suite="s", task="T", metric="m"
            )
        )
    ]
    assert all(one is keys[0] for one in keys)


@pytest.mark.parametrize("damage", ["cut", "text", "column"])
def test_a_damaged_file_is_named(damage: str, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = tmp_path / "per_query.parquet"
    write_study_scores(path, TABLES)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "text":
        path.write_text("no scores", encoding="utf-8")
    else:
        pq.write_table(pq.ParquetFile(path).read().drop_columns(["query_id"]), path)
    with pytest.raises(
        RecordError, match=r"per_query\.parquet: (not a Parquet file|no column query_id)"
    ):
        read_queries(tmp_path)

"""People's own files of training pairs."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from harness.data.formats import Layout, read_files
from harness.data.pairs import Pair
from harness.errors import DataError

_ROWS: list[dict[str, Any]] = [
    {"query": "q1", "positive": "p1", "negative": "n1"},
    {"query": 'q2, "quoted"', "positive": "p2\nsecond line", "negative": "n2"},
]
_PAIRS = [
    Pair(query="q1", positive="p1", negatives=("n1",)),
    Pair(query='q2, "quoted"', positive="p2\nsecond line", negatives=("n2",)),
]


def _lines(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _write(path: Path) -> None:
    """Write the rows in the way that the file's name says."""
    if ".parquet" in path.name:
        parquet.write_table(pa.Table.from_pylist(_ROWS), path)
        return
    if ".jsonl" in path.name:
        content = _lines(_ROWS)
    else:
        comma = "\t" if ".tsv" in path.name else ","
        quoted = [["query", "positive", "negative"], *([*row.values()] for row in _ROWS)]
        text = "\r\n".join(comma.join('"' + x.replace('"', '""') + '"' for x in row) for row in quoted)
        content = text.encode("utf-8-sig")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.jsonl.gz", "a.parquet", "a.csv", "a.csv.gz", "a.tsv", "train.v2.jsonl"]
)
def test_the_same_rows_are_the_same_pairs_in_every_kind_of_file(name: str, tmp_path: Path) -> None:
    _write(tmp_path / name)
    assert list(read_files(tmp_path / name)) == _PAIRS


@pytest.mark.parametrize(
    ("row", "pair"),
    [
        (
            {"query": "q", "pos": ["p", "p2"], "neg": ["n", "n2"], "prompt": "find", "type": "normal"},
            Pair(query="q", positive="p", negatives=("n", "n2"), instruction="find"),
        ),
        (
            {
                "anchor": "q",
                "positive": "p",
                "negative_2": "n2",
                "negative_10": "n10",
                "negative_1": "n1",
            },
            Pair(query="q", positive="p", negatives=("n1", "n2", "n10")),
        ),
        (
            {"query": "q", "positive": "p", "negative": ["n"]},
            Pair(query="q", positive="p", negatives=("n",)),
        ),
        ({"query": "q", "positive": "p", "negative": ""}, Pair(query="q", positive="p")),
    ],
)
def test_layouts_of_the_field_are_known_by_their_names(
    row: dict[str, Any], pair: Pair, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_bytes(_lines([row]))
    assert list(read_files(tmp_path / "a.jsonl")) == [pair]


def test_every_positive_becomes_a_pair_where_asked(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(_lines([{"query": "q", "pos": ["p", "p2"], "neg": []}]))
    layout = Layout(all_positives=True, instruction="find")
    assert [(pair.positive, pair.instruction) for pair in read_files(tmp_path / "a.jsonl", layout)] == [
        ("p", "find"),
        ("p2", "find"),
    ]


def test_columns_of_any_name_can_be_mapped(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(_lines([{"question": "q", "context": "p", "id": 7}]))
    layout = Layout(columns={"query": "question", "positive": "context"})
    ignored: Counter[str] = Counter()
    assert list(read_files(tmp_path / "a.jsonl", layout, ignored=ignored)) == [
        Pair(query="q", positive="p")
    ]
    assert ignored == {"id": 1}
    wrong = Layout(columns={"query": "questoin", "positive": "context"})
    with pytest.raises(DataError, match=r"no column 'questoin'\. Did you mean 'question'"):
        list(read_files(tmp_path / "a.jsonl", wrong))


def test_each_file_of_a_folder_is_a_dataset(tmp_path: Path) -> None:
    for name in ("nq", "fever"):
        (tmp_path / f"{name}.jsonl").write_bytes(_lines(_ROWS))
    (tmp_path / "manifest.json").write_text("{}")
    assert [pair.dataset for pair in read_files(tmp_path)] == ["fever", "fever", "nq", "nq"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"query": "a", "positive": "b"}\n\n{', "a.jsonl:3: not a line of JSON"),
        ("a.jsonl", b"[1]", "a.jsonl:1: a list where an object is needed"),
        ("a.jsonl", b'{"query": "a", "pos": []}', "a.jsonl:1: has no positive"),
        (
            "a.jsonl",
            b'{"query": "a", "positive": "b", "negativs": ["c"]}',
            "unknown field 'negativs'. Did you mean 'negatives'?",
        ),
        ("a.jsonl.gz", b"plain", "a.jsonl.gz: cannot read training pairs"),
        (
            "a.jsonl.gz",
            gzip.compress(b'{"query": "a"}' * 99, mtime=0)[:-9],
            "a.jsonl.gz: ends too early",
        ),
        ("a.parquet", b"plain", "a.parquet: not a Parquet file"),
        ("a.csv", b"query,positive\na,b,c", "a.csv:2: not as many fields"),
        ("a.csv", b"query,positive\na\xff,b", "a.csv:"),
        ("a.txt", b"a", "cannot tell what kind of file"),
    ],
)
def test_a_faulty_file_is_named_with_the_place(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(read_files(tmp_path / name))
    assert message in caught.value.message


def test_an_empty_folder_and_a_missing_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no training files there"):
        list(read_files(tmp_path))
    with pytest.raises(DataError, match="No such file"):
        list(read_files(tmp_path / "a.jsonl"))


def test_real_training_files_are_read_whole(shared_data: Path) -> None:
    folders = [path.parent for path in sorted((shared_data / "train").glob("*/manifest.json"))]
    assert folders
    for folder in folders:
        ignored: Counter[str] = Counter()
        pairs = list(read_files(folder, ignored=ignored))
        manifest = json.loads((folder / "manifest.json").read_text())
        assert len(pairs) == manifest["rows"], folder
        assert sum(bool(pair.negatives) for pair in pairs) == manifest["with_hard_negative"], folder

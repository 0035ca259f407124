"""Reading and writing of training pairs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.data.pairs import Pair, build_jsonl, read_pairs, write_pairs
from harness.errors import DataError

_TEXT = st.text(min_size=1, max_size=40).filter(lambda text: bool(text.strip()) and _is_utf8(text))
_PAIRS = st.lists(
    st.builds(
        Pair,
        query=_TEXT,
        positive=_TEXT,
        negatives=st.lists(_TEXT, max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=5,
)


def _is_utf8(text: str) -> bool:
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in text)


@given(pairs=_PAIRS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_what_is_written_is_read_back(pairs: list[Pair], tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    write_pairs(path, pairs)
    assert read_pairs(path) == pairs
    first = path.read_bytes()
    write_pairs(path, read_pairs(path))
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not a line of JSON"),
        ("[1]", "a list where an object is needed"),
        ('{"query": "a"}', "'positive' must be a text"),
        ('{"query": " ", "positive": "b"}', "'query' must be a text that is not blank"),
        ('{"query": "a", "positive": "b", "negatives": "c"}', "'negatives' must be a list of texts"),
        ('{"query": "a", "positve": "b"}', "unknown field 'positve'. Did you mean 'positive'?"),
    ],
)
def test_a_faulty_line_is_named_with_its_file(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"query": "a", "positive": "b"}\n\n' + line + "\n")
    with pytest.raises(DataError) as caught:
        read_pairs(path)
    assert f"{path}:3: " in caught.value.message
    assert message in caught.value.message


def test_bytes_that_are_not_utf8_are_a_faulty_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b'{"query": "\xa3", "positive": "b"}\n')
    with pytest.raises(DataError, match=":1: not a line of JSON"):
        read_pairs(path)


def test_an_empty_file_holds_no_pairs(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_text("\n")
    with pytest.raises(DataError, match="holds no pairs"):
        read_pairs(path)


def test_a_missing_set_names_the_sets_there_are(tmp_path: Path) -> None:
    write_pairs(tmp_path / "headlines.jsonl", [Pair(query="a", positive="b")])
    with pytest.raises(DataError) as caught:
        read_pairs(tmp_path / "headline.jsonl")
    assert "headlines" in caught.value.cure
    assert "Did you mean 'headlines'?" in caught.value.cure


def test_a_users_file_becomes_a_source_folder(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"query": "a", "positive": "b", "negatives": ["c"]}\n')
    build_jsonl(file, tmp_path / "source")
    assert read_pairs(tmp_path / "source" / "pairs" / "default.jsonl") == [
        Pair(query="a", positive="b", negatives=("c",))
    ]
    assert json.loads((tmp_path / "source" / "source.json").read_text()) == {"pairs": {"default": 1}}

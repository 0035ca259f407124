"""Planted texts are found, others are not, whichever side is the larger one."""

from __future__ import annotations

import errno
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.data.overlap import TextIndex, build_index, find_overlap, pair_texts
from harness.data.overlap_settings import Settings
from harness.data.pairs import Pair
from tests.evaluation.folders import sentence

_SETTINGS = Settings()
_RNG = random.Random(8)
_TASK = [("query", sentence(_RNG, 9)) for _ in range(20)]
_TASK += [("document", sentence(_RNG, 60)) for _ in range(40)]


def _near(text: str) -> str:
    words = text.split()
    return " ".join([*words[:30], "changed", *words[31:]])


def _pairs(num: int, *, planted: bool) -> list[Pair]:
    rng = random.Random(9)
    pairs = [
        Pair(query=sentence(rng, 9), positive=sentence(rng, 60), negatives=(sentence(rng, 60),))
        for _ in range(num)
    ]
    if planted:
        queries = [text for kind, text in _TASK if kind == "query"]
        documents = [text for kind, text in _TASK if kind == "document"]
        pairs[0] = Pair(query=f"{queries[0].upper()}?", positive=documents[0])
        pairs[1] = Pair(query=queries[1], positive=sentence(rng, 60), negatives=(_near(documents[1]),))
        # A question that stands among the documents.
        pairs[2] = Pair(query=sentence(rng, 9), positive=queries[2])
    return pairs


def _compare(folder: Path, pairs: list[Pair]) -> dict[str, dict[str, object]]:
    training = build_index(folder / "training", pair_texts(pairs), _SETTINGS)
    task = build_index(folder / "task", iter(_TASK), _SETTINGS)
    return {str(one["kind"]): one for one in find_overlap(task, training, _SETTINGS)}


@pytest.mark.parametrize("num", [5, 400])
def test_planted_texts_are_found_and_no_other(num: int, tmp_path: Path) -> None:
    found = _compare(tmp_path, _pairs(num, planted=True))
    assert found.keys() == {"query", "document"}
    counts = {
        kind: tuple(one[f"num_{name}"] for name in ("texts", "exact", "near"))
        for kind, one in found.items()
    }
    assert counts == {"query": (20, 3, 0), "document": (40, 1, 1)}
    assert (found["query"]["num_in_queries"], found["query"]["num_in_documents"]) == (2, 1)
    assert (found["document"]["num_in_queries"], found["document"]["num_in_documents"]) == (0, 2)
    near = found["document"]["examples"][1]  # type: ignore[index]
    assert near["text"] == _TASK[21][1][:200] + "..."
    assert near["found"] == _near(_TASK[21][1])[:200] + "..."
    assert near["side"] == "document"
    assert 0.8 <= near["similarity"] < 1


@pytest.mark.parametrize("num", [5, 400])
def test_texts_that_are_not_there_are_not_found(num: int, tmp_path: Path) -> None:
    found = _compare(tmp_path, _pairs(num, planted=False))
    assert {one["num_exact"] for one in found.values()} == {0}
    assert {one["num_near"] for one in found.values()} == {0}
    assert {str(one["examples"]) for one in found.values()} == {"[]"}


def test_short_texts_are_counted_apart(tmp_path: Path) -> None:
    texts = [("text", "yes"), ("text", "No!"), ("text", "no"), ("text", "one two three"), ("text", "?!")]
    task = build_index(tmp_path / "task", iter(texts), _SETTINGS)
    training = build_index(tmp_path / "training", iter([("query", "yes")]), _SETTINGS)
    (found,) = find_overlap(task, training, _SETTINGS)
    assert (found["num_texts"], found["num_short"], found["num_exact"]) == (1, 2, 0)


def test_an_index_is_made_once_and_holds_each_text_once(tmp_path: Path) -> None:
    texts = [
        ("query", "Where is the river?"),
        ("query", "where is THE river"),
        ("document", "where is the river"),
    ]
    first = build_index(tmp_path / "index", iter(texts), _SETTINGS)
    assert len(first.hashes) == 2

    def not_again() -> Iterator[tuple[str, str]]:
        yield "query", "nobody reads this"

    again = build_index(tmp_path / "index", not_again(), _SETTINGS)
    assert isinstance(again, TextIndex)
    assert again.text(0) == "Where is the river?"
    assert (again.signatures == first.signatures).all()


def test_an_index_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[tuple[str, str]]:
        yield "query", "one two three"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        build_index(tmp_path / "index", broken(), _SETTINGS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["a\ud800b c d", "x\x00y z w", "line\u2028two three four"])
def test_odd_texts_come_through(text: str, tmp_path: Path) -> None:
    task = build_index(tmp_path / "task", iter([("text", text)]), _SETTINGS)
    training = build_index(tmp_path / "training", iter([("document", text)]), _SETTINGS)
    (found,) = find_overlap(task, training, _SETTINGS)
    assert (found["num_exact"], found["num_near"]) == (1, 0)
    assert json.loads(json.dumps(found))["examples"][0]["similarity"] == 1.0

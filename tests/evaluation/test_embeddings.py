from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ProbeError
from harness.evaluation.embeddings import EmbeddingCache, Vectors
from harness.evaluation.text_index import Keys, TextIndex

_MODEL = ("weights", 512)


def _encode(texts: Sequence[str]) -> Vectors:
    return np.array([[len(text), sum(text.encode())] for text in texts], dtype=np.float32)


class _Counting:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        return _encode(texts)


def test_vectors_come_in_order_and_repeated_texts_are_encoded_once(tmp_path: Path) -> None:
    encode = _Counting()
    texts = ["b", "aa", "b", "ccc", "aa"]
    vectors, num_found = EmbeddingCache(tmp_path).get_or_encode(texts, model=_MODEL, encode=encode)
    assert np.array_equal(vectors, _encode(texts))
    assert sorted(encode.texts) == ["aa", "b", "ccc"]
    assert num_found == 0


def test_another_process_finds_the_same_set_in_any_order(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path).get_or_encode(["a", "b", "c"], model=_MODEL, encode=_encode)
    encode = _Counting()
    vectors, num_found = EmbeddingCache(tmp_path).get_or_encode(
        ["b", "c", "a", "b"], model=_MODEL, encode=encode
    )
    assert np.array_equal(vectors, _encode(["b", "c", "a", "b"]))
    assert encode.texts == []
    assert num_found == 3


def test_texts_meet_the_same_neighbours_whoever_asks_first(tmp_path: Path) -> None:
    asked = ["d", "b", "a", "c"]
    batches = []
    for before in ([], ["c", "b"]):
        folder = tmp_path / str(len(before))
        if before:
            EmbeddingCache(folder).get_or_encode(before, model=_MODEL, encode=_encode)
        encode = _Counting()
        EmbeddingCache(folder).get_or_encode(asked, model=_MODEL, encode=encode)
        batches.append(encode.texts)
    assert batches[0] == batches[1]
    assert sorted(batches[0]) == sorted(asked)


@pytest.mark.parametrize("other", [("other", 512), ("weights", 256)])
def test_another_model_or_length_never_sees_them(tmp_path: Path, other: tuple[str, int]) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.get_or_encode(["a"], model=_MODEL, encode=_encode)
    encode = _Counting()
    cache.get_or_encode(["a"], model=other, encode=encode)
    assert encode.texts == ["a"]


def test_a_damaged_segment_counts_as_not_there(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path).get_or_encode(["a", "b"], model=_MODEL, encode=_encode)
    segment = next(tmp_path.rglob("*.safetensors"))
    segment.write_bytes(segment.read_bytes()[:-5])
    for num_found in (0, 2):
        encode = _Counting()
        vectors, found = EmbeddingCache(tmp_path).get_or_encode(["a", "b"], model=_MODEL, encode=encode)
        assert np.array_equal(vectors, _encode(["a", "b"]))
        assert found == num_found
        assert len(encode.texts) == 2 - num_found


def test_an_interrupted_request_goes_on_with_the_chunk_it_was_at(tmp_path: Path) -> None:
    texts = ["a", "b", "c", "d", "e"]
    whole = _Counting()
    EmbeddingCache(tmp_path / "whole", chunk_texts=2).get_or_encode(texts, model=_MODEL, encode=whole)

    def refuse(batch: Sequence[str]) -> Vectors:
        if whole.texts[2] in batch:
            raise ProbeError("not finite")
        return _encode(batch)

    cache = EmbeddingCache(tmp_path / "cut", chunk_texts=2)
    with pytest.raises(ProbeError):
        cache.get_or_encode(texts, model=_MODEL, encode=refuse)
    rest = _Counting()
    EmbeddingCache(tmp_path / "cut", chunk_texts=2).get_or_encode(texts, model=_MODEL, encode=rest)
    assert rest.texts == whole.texts[2:]


def test_many_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(60)]

    def work(offset: int) -> None:
        mine = texts[offset:] + texts[:offset]
        vectors, _ = EmbeddingCache(tmp_path, chunk_texts=7).get_or_encode(
            mine, model=_MODEL, encode=_encode
        )
        assert np.array_equal(vectors, _encode(mine))

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(0, 60, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    vectors, num_found = EmbeddingCache(tmp_path).get_or_encode(texts, model=_MODEL, encode=_encode)
    assert num_found == 60
    assert np.array_equal(vectors, _encode(texts))
    assert not list(tmp_path.rglob(".*"))


def test_a_text_that_depends_on_nothing_else_serves_every_request(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.get_or_encode(["a", "b", "c"], model=_MODEL, encode=_encode, is_alone=True)
    encode = _Counting()
    texts = ["c", "d", "a", "d"]
    vectors, num_found = EmbeddingCache(tmp_path).get_or_encode(
        texts, model=_MODEL, encode=encode, is_alone=True
    )
    assert np.array_equal(vectors, _encode(texts))
    assert encode.texts == ["d"]
    assert num_found == 2
    # What was kept by request is another thing.
    encode = _Counting()
    cache.get_or_encode(["a"], model=_MODEL, encode=encode)
    assert encode.texts == ["a"]


def test_two_that_want_the_same_texts_share_the_work(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(40)]
    together = threading.Barrier(2)
    began = threading.local()
    encoded: list[str] = []

    def slow(batch: Sequence[str]) -> Vectors:
        if not hasattr(began, "before"):
            # Nobody gets past a first chunk before the other one has one, too.
            began.before = True
            together.wait(timeout=30)
        encoded.extend(batch)
        return _encode(batch)

    def work() -> None:
        cache = EmbeddingCache(tmp_path, chunk_texts=4)
        vectors, _ = cache.get_or_encode(texts, model=_MODEL, encode=slow, is_alone=True)
        assert np.array_equal(vectors, _encode(texts))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(encoded) == sorted(texts)


def test_segments_of_different_dimensions_are_refused_with_a_cure(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.get_or_encode(["a"], model=_MODEL, encode=_encode, is_alone=True)
    with pytest.raises(ProbeError, match="3 dimensions, others of the same model have 2") as caught:
        cache.get_or_encode(
            ["a", "b"], model=_MODEL, encode=lambda _: np.ones((1, 3), dtype=np.float32), is_alone=True
        )
    (folder,) = tmp_path.iterdir()
    assert str(folder) in caught.value.cure


@given(
    sizes=st.lists(st.integers(1, 40), max_size=20),
    asked=st.lists(st.integers(0, 400), min_size=1, max_size=30),
)
def test_the_index_finds_every_text_and_no_other(sizes: list[int], asked: list[int]) -> None:
    index = TextIndex()
    first = 0
    expected: dict[int, tuple[int, int]] = {}
    for segment, size in enumerate(sizes):
        index.add(_keys(range(first, first + size)), segment=segment)
        expected |= {first + row: (segment, row) for row in range(size)}
        first += size
    segments, rows = index.find(_keys(asked))
    assert list(zip(segments.tolist(), rows.tolist(), strict=True)) == [
        expected.get(text, (-1, -1)) for text in asked
    ]
    assert len(index._runs) <= 8


def _keys(texts: Iterable[int]) -> Keys:
    digests = b"".join(hashlib.sha256(str(text).encode()).digest() for text in texts)
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32)

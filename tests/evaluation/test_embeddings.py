from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from harness.errors import ProbeError
from harness.evaluation.embeddings import EmbeddingCache, Vectors

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


def test_another_process_finds_them_and_encodes_only_what_is_new(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path).get_or_encode(["a", "b"], model=_MODEL, encode=_encode)
    encode = _Counting()
    vectors, num_found = EmbeddingCache(tmp_path).get_or_encode(
        ["b", "new", "a"], model=_MODEL, encode=encode
    )
    assert np.array_equal(vectors, _encode(["b", "new", "a"]))
    assert encode.texts == ["new"]
    assert num_found == 2


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


def test_refused_embeddings_are_not_kept_but_earlier_chunks_are(tmp_path: Path) -> None:
    def refuse(texts: Sequence[str]) -> Vectors:
        if "bad" in texts:
            raise ProbeError("not finite")
        return _encode(texts)

    cache = EmbeddingCache(tmp_path, chunk_texts=2)
    with pytest.raises(ProbeError):
        cache.get_or_encode(["a", "b", "bad", "c"], model=_MODEL, encode=refuse)
    encode = _Counting()
    EmbeddingCache(tmp_path).get_or_encode(["a", "b", "bad", "c"], model=_MODEL, encode=encode)
    assert encode.texts == ["bad", "c"]


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

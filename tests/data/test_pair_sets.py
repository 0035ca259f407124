"""Sets of pairs on disk."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.data.pair_sets import PairSet, set_path, write_pairs
from harness.data.pairs import Pair
from harness.errors import DataError
from tests.data.test_pairs import PAIRS

_LAW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


@given(pairs=st.lists(PAIRS, min_size=1, max_size=6), data=st.data())
@_LAW
def test_any_row_comes_back_as_it_was_written(
    pairs: list[Pair], data: st.DataObject, tmp_path: Path
) -> None:
    path = set_path(tmp_path, "law")
    assert write_pairs(path, iter(pairs)) == len(pairs)
    found = PairSet(path)
    assert list(found) == pairs
    rows = data.draw(st.lists(st.integers(0, len(pairs) - 1), max_size=5))
    assert found.take(rows) == [pairs[row] for row in rows]
    start = data.draw(st.integers(0, len(pairs)))
    assert list(found.iterate(start)) == pairs[start:]
    assert found[start:] == pairs[start:]
    assert found[-1] == pairs[-1]
    names, numbers = found.datasets
    assert [names[number] for number in numbers] == [pair.dataset for pair in pairs]
    assert list(names) == sorted({pair.dataset for pair in pairs})


def test_equal_pairs_are_equal_bytes(tmp_path: Path) -> None:
    pairs = [Pair(query=f"q{i}", positive=f"p{i}", negatives=("n",) * (i % 3)) for i in range(3000)]
    write_pairs(tmp_path / "a.arrow", pairs)
    write_pairs(tmp_path / "b.arrow", iter(PairSet(tmp_path / "a.arrow")))
    assert (tmp_path / "a.arrow").read_bytes() == (tmp_path / "b.arrow").read_bytes()


def test_the_file_is_one_that_datasets_opens(tmp_path: Path) -> None:
    pairs = [Pair(query=f"q{i}", positive=f"p{i}", negatives=("n",)) for i in range(300)]
    write_pairs(tmp_path / "a.arrow", pairs)
    found = datasets.load_dataset(
        "arrow", data_files=str(tmp_path / "a.arrow"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert found["query"][:] == [pair.query for pair in pairs]
    assert found[299]["negatives"] == ["n"]


def test_writing_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    write_pairs(path, [Pair(query="q", positive="p")])

    def broken() -> object:
        yield Pair(query="q", positive="p")
        raise DataError("no more")

    with pytest.raises(DataError, match="no more"):
        write_pairs(path, broken())  # type: ignore[arg-type]
    assert len(PairSet(path)) == 1


def test_a_missing_set_names_those_that_are_there(tmp_path: Path) -> None:
    write_pairs(set_path(tmp_path, "headlines"), [Pair(query="q", positive="p")])
    with pytest.raises(DataError) as caught:
        PairSet(set_path(tmp_path, "headline"))
    assert "Pair sets there: headlines. Did you mean 'headlines'?" in caught.value.cure


@pytest.mark.parametrize("content", [b"", b"no arrow at all"])
def test_a_damaged_set_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.arrow"):
        PairSet(path)


def test_a_set_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    write_pairs(path, [Pair(query=f"q{i}", positive="p" * 100) for i in range(5000)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"a\.arrow"):
        PairSet(path)

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from harness.errors import RecordError
from harness.records.schema import Record, State
from harness.records.store import dump_records, merge
from tests.tables.fake_study import make_records

BASE = make_records()[0]
texts = st.text(max_size=8)


@st.composite
def measurements(draw: st.DrawFn) -> Record:
    states: tuple[State, ...] = ("ok", "failed", "missing")
    state = draw(st.sampled_from(states))
    task = draw(st.sampled_from("abc"))
    return structs.replace(
        BASE,
        task=task,
        seed=draw(st.sampled_from([None, 0, 1])),
        state=state,
        # A function of the key, so that no two records contradict each other.
        value=ord(task) / 128 if state == "ok" else None,
        reason=draw(texts),
        source=draw(texts),
        wall_seconds=draw(st.none() | st.floats(0, 10)),
        versions=dict.fromkeys(draw(st.permutations(["mteb", "torch"])), "1"),
    )


many = st.lists(measurements(), max_size=12)


@given(many, st.integers(0, 2**32))
def test_order_never_changes_the_bytes(records: list[Record], seed: int) -> None:
    shuffled = random.Random(seed).sample(records, len(records))
    assert dump_records(shuffled) == dump_records(records)


@given(many)
def test_merging_again_changes_nothing(records: list[Record]) -> None:
    once = merge(records)
    assert merge(once) == once
    assert merge(once, once) == once
    assert merge(records, once) == once


@given(many, many, many)
def test_merging_is_associative(a: list[Record], b: list[Record], c: list[Record]) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(many)
def test_each_key_is_kept_once_and_none_is_lost(records: list[Record]) -> None:
    merged = merge(records)
    assert [record.key for record in merged] == sorted({record.key for record in records})


@given(st.floats(0, 1), st.floats(0, 1))
def test_two_values_for_one_key_always_raise_with_both_shown(first: float, second: float) -> None:
    pair = [structs.replace(BASE, value=first), structs.replace(BASE, value=second)]
    if first == second:
        assert len(merge(pair)) == 1
        return
    with pytest.raises(RecordError) as caught:
        merge(pair)
    assert repr(first) in str(caught.value)
    assert repr(second) in str(caught.value)


@given(
    value=st.floats(allow_nan=False, allow_infinity=False),
    reason=texts,
    wall_seconds=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    tokens=st.none() | st.integers(),
    is_main=st.booleans(),
    languages=st.lists(texts, max_size=2).map(tuple),
    versions=st.dictionaries(texts, texts, max_size=3),
)
def test_a_line_is_its_record_as_json_with_versions_by_name(**fields: Any) -> None:
    record = structs.replace(BASE, **fields)
    plain = structs.asdict(record) | {"versions": dict(sorted(record.versions.items()))}
    assert dump_records([record]) == json.dumps(plain, ensure_ascii=False) + "\n"
    assert dump_records([record], without=["tokens"]) == (
        json.dumps(plain | {"tokens": None}, ensure_ascii=False) + "\n"
    )

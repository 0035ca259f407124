"""Laws of reading and expanding studies, for any study and any junk."""

from __future__ import annotations

import copy
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.plan import compile_plan
from harness.study import load_study
from harness.study.source_text import read_source
from tests.study.builders import STUDY, write_study

_FIELDS = {
    "contrastive.temperature": st.lists(
        st.sampled_from([0.01, 0.02, 0.05]), min_size=1, max_size=3, unique=True
    ),
    "contrastive.global_batch": st.lists(st.integers(1, 64), min_size=1, max_size=3, unique=True),
    "reconstruction.alpha": st.lists(
        st.sampled_from([0.0, 0.2, 0.5, 1.0]), min_size=1, max_size=4, unique=True
    ),
    "model.num_layers": st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
}


@settings(max_examples=30, deadline=None)
@given(st.fixed_dictionaries({}, optional=_FIELDS), st.lists(st.integers(0, 9), min_size=1, max_size=3))
def test_a_cross_product_has_every_combination_once(
    factors: dict[str, list[float]], seeds: list[int]
) -> None:
    data = {**yaml.safe_load(STUDY), "factors": factors, "seeds": seeds}
    data["recipe"]["contrastive"]["learning_rate"] = 1e-3
    with tempfile.TemporaryDirectory() as folder:
        study = load_study(write_study(Path(folder), yaml.safe_dump(data, sort_keys=False)))
    combinations = [tuple(variant.levels.values()) for variant in study.variants]
    expected = itertools.product(*([str(value) for value in values] for values in factors.values()))
    assert sorted(combinations) == sorted(expected)
    assert len(set(combinations)) == len(combinations)
    for variant in study.variants:
        assert [recipe.seed for recipe in variant.recipes] == list(dict.fromkeys(seeds))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_to_a_study_is_a_study_or_one_of_our_errors(data: st.DataObject) -> None:
    lines = STUDY.splitlines()
    line = data.draw(st.integers(0, len(lines) - 1))
    junk = data.draw(
        st.sampled_from(["", "- x", "a: [", "? {}", "name: 1", "  x: 1", "\t", "&a *a", "factors: 3"])
    )
    replace = data.draw(st.booleans())
    lines[line : line + replace] = [junk]
    with tempfile.TemporaryDirectory() as folder:
        path = write_study(Path(folder), "\n".join(lines))
        try:
            message = f"{path} holds {load_study(path).name}"
        except HarnessError as error:
            message = str(error)
        assert str(path) in message


_JUNK: tuple[Any, ...] = (
    None,
    1,
    -1,
    1.5,
    "x",
    "",
    [],
    {},
    [1],
    [[]],
    {"a": 1},
    True,
    10**30,
    "\u0000",
    "a" * 5000,
    [None],
)
_MORE = {
    "profiles": {"a": {"recipe.contrastive.steps": 2, "extends": "b"}, "b": {"seeds": [1]}},
    "replicates": [{"where": {"reconstruction": "on"}, "seeds": [3]}],
    "baseline": {"reconstruction": "off"},
    "references": ["untrained", "bm25"],
    "resources": {"train": {"cpus": 1}},
}


def _places(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every key and item below `node`."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, inner in items:
        yield (*above, key)
        yield from _places(inner, (*above, key))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_wrong_value_anywhere_is_told_in_one_of_our_errors(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_study(Path(folder))
        study = read_source(path).data | copy.deepcopy(_MORE)
        place = data.draw(st.sampled_from(list(_places(study))))
        node: Any = study
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = data.draw(st.sampled_from(_JUNK))
        path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
        try:
            message = f"{path} holds {len(compile_plan(load_study(path, profile='a')).steps)} steps"
        except HarnessError as error:
            message = str(error)
        assert str(path) in message

"""Equal configurations have equal fingerprints; what has no stable form is refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.identity import canonical_json, derive_seed, fingerprint, join_canonical, tree_sha256

_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@dataclass(frozen=True)
class _Config:
    rate: float = 0.1
    name: str = "a"


@given(st.dictionaries(st.text(), _json, max_size=5))
def test_the_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    assert fingerprint(value) == fingerprint(dict(reversed(list(value.items()))))


@given(st.dictionaries(st.text(), _json, max_size=5))
def test_an_object_of_canonical_parts_is_canonical(value: dict[str, Any]) -> None:
    assert join_canonical(
        {name: canonical_json(part) for name, part in value.items()}
    ) == canonical_json(value)


@given(_json, _json)
def test_different_values_have_different_texts(first: Any, second: Any) -> None:
    same = canonical_json(first) == canonical_json(second)
    assert same == (_typed(first) == _typed(second))


def _typed(value: Any) -> Any:
    """A value with its types, so that 1, 1.0 and True differ as they do in JSON."""
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return (type(value).__name__, repr(value))


def test_defaults_are_part_of_the_identity() -> None:
    assert fingerprint(_Config()) == fingerprint({"rate": 0.1, "name": "a"})
    assert fingerprint(_Config()) != fingerprint({"name": "a"})


def test_a_fingerprint_is_the_same_in_another_process() -> None:
    code = "from harness.identity import fingerprint; print(fingerprint({'b': 1e-4, 'a': ['é', None]}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == fingerprint({"a": ["é", None], "b": 1e-4})


@pytest.mark.parametrize("value", [Path("/x"), {1, 2}, b"x", {"a": object()}, {1: "a"}])
def test_values_without_a_stable_form_raise(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical_json(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_raise(value: float) -> None:
    with pytest.raises(ValueError, match="no canonical form"):
        canonical_json({"x": value})


def test_a_tree_is_known_by_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    before = tree_sha256(tmp_path)
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    assert tree_sha256(tmp_path) != before
    (tmp_path / "a" / "y").rename(tmp_path / "a" / "x")
    assert tree_sha256(tmp_path) == before


@given(st.lists(st.integers(min_value=0), min_size=1))
def test_a_seed_depends_on_its_components_alone(components: list[int]) -> None:
    seed = derive_seed(*components)
    assert seed == derive_seed(*components)
    assert 0 <= seed < 2**63
    assert seed != derive_seed(*components, 0)

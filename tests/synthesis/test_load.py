"""A synthesis file: its defaults are the paper's, and its faults name file, line and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import StudyError
from harness.synthesis.kinds import KINDS
from harness.synthesis.languages import languages, paper_shares
from harness.synthesis.load import find_specification, is_loopback, load_specification
from harness.synthesis.prompts import read_prompts
from tests.conftest import REPOSITORY
from tests.synthesis.builders import small, write

EXAMPLE = REPOSITORY / "synthesis" / "two-step.yaml"


def test_the_example_is_the_papers_method_at_full_size() -> None:
    specification = load_specification(EXAMPLE)
    assert specification.document.size == 500_000
    assert len(specification.languages) == 93
    assert specification.languages["en"] == pytest.approx(0.431)
    assert specification.languages["pl"] == pytest.approx(0.03)
    assert specification.kinds["short-long"] == pytest.approx(167 / 507)
    assert set(specification.kinds) == set(KINDS)
    assert specification.document.sampling.temperature == 1.0


@pytest.mark.parametrize("profile", ["loopback", "laptop"])
def test_its_profiles_load_too(profile: str) -> None:
    specification = load_specification(EXAMPLE, profile=profile)
    assert specification.name == f"two-step-{profile}"
    assert len(specification.languages) >= 5
    assert set(specification.kinds) == set(KINDS)


def test_the_papers_shares_sum_to_all() -> None:
    assert sum(paper_shares().values()) == pytest.approx(100)
    rare = [language for language in languages().values() if language.percent < 1]
    assert len(rare) == 79
    # The paper: the rarest 75 languages have about a thousand examples of half a million each.
    assert {round(5000 * language.percent, -3) for language in rare} == {1000}


_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"size": 0}, r"small\.yaml:\d+: size: .*greater than or equal to 1"),
    ({"sized": 5}, r"sized: unknown field.*Did you mean 'size'"),
    ({"kinds": {"short-lnog": 1}}, r"kinds\.short-lnog: no kind.*Did you mean 'short-long'"),
    ({"kinds": {"sts": 0}}, r"kinds: all weights are zero"),
    ({"languages": {"tlh": 1}}, r"languages\.tlh: no language 'tlh'"),
    ({"languages": {"en": 1}, "kinds": {"bitext": 1}}, r"languages: bitext needs two languages"),
    ({"values": {"num_word": ["5"]}}, r"values\.num_word: .*Did you mean 'num_words'"),
    ({"prompts": "v9"}, r"prompts: no prompts 'v9'"),
    ({"gates": {"short_characters": [9, 2]}}, r"gates\.short_characters: the least \(9\) is above"),
    ({"gates": {"embedder": {"model": "nowhere"}}}, r"gates\.embedder\.model: no model folder"),
    ({"sampling": {"top_p": 0}}, r"sampling\.top_p: .*greater than 0"),
    (
        {"backend": {"kind": "openai", "model": "m", "base_url": "https://api.example.com/v1"}},
        r"api\.example\.com is not this machine, and `spending` is missing",
    ),
    (
        {"backend": {"kind": "openai", "model": "m", "base_url": "http://me:secret@127.0.0.1/v1"}},
        r"backend\.base_url: holds a user name or password",
    ),
    (
        {"backend": {"kind": "transformers", "base": {"hub": "a/b"}}},
        r"backend\.base: needs the `revision`",
    ),
    (
        {"backend": {"kind": "vllm", "model": "m"}},
        r"backend: kind: 'vllm' is not one of openai, transformers",
    ),
]


@pytest.mark.parametrize(("fields", "told"), _FAULTS, ids=[next(iter(one)) for one, _ in _FAULTS])
def test_a_fault_names_its_place(fields: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=told):
        small(tmp_path, **fields)


def test_an_unknown_file_is_told_with_those_there_are() -> None:
    with pytest.raises(StudyError, match="no synthesis file 'two-steps'") as told:
        find_specification("two-steps", folder=REPOSITORY / "synthesis")
    assert "Did you mean 'two-step'" in told.value.cure


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http://127.0.0.1:8080/v1", True),
        ("http://localhost:1/v1", True),
        ("http://[::1]:1/v1", True),
        ("http://127.0.0.1.example.com/v1", False),
        ("https://api.openai.com/v1", False),
    ],
)
def test_this_machine_is_told_from_others(url: str, is_here: bool) -> None:
    assert is_loopback(url) == is_here


@pytest.mark.parametrize("name", ["v1", "v1-brief"])
def test_prompt_files_fill_whole(name: str) -> None:
    prompts = read_prompts(name, folder=Path())
    for kind in KINDS.values():
        values = {placeholder: choices[0] for placeholder, choices in kind.values.items()}
        target = "de" if kind.name == "bitext" else None
        task = 'a "quoted"\ntask with $language' if kind.has_tasks else None
        text = prompts.example(kind.name, values=values, language="en", target=target, task=task)
        assert "English" in text
        if task:
            # What a model wrote stands on one line and is not filled in again.
            assert 'a \\"quoted\\"\\ntask with $language' in text
        else:
            assert "$" not in text


def test_a_prompt_file_with_an_unknown_placeholder_is_refused(tmp_path: Path) -> None:
    text = (REPOSITORY / "harness/synthesis/prompts/v1.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.replace("$difficulty", "$dificulty", 1), encoding="utf-8")
    with pytest.raises(StudyError, match=r"no placeholder \$dificulty here"):
        load_specification(write(tmp_path, prompts="mine.yaml"))

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mteb.models import EncoderProtocol, SearchProtocol
from mteb.types import PromptType

from harness.errors import ProbeError
from harness.evaluation.embeddings import EmbeddingCache
from harness.evaluation.encoder import StudyEncoder, Usage
from harness.study.recipe import PromptConfig
from tests.evaluation.toy import ToyEmbedder

_TASK = SimpleNamespace(name="SomeTask")
_PROMPTS = PromptConfig(query="q: ", document="d: ")


def _encoder(embedder: ToyEmbedder, cache: EmbeddingCache | None = None) -> StudyEncoder:
    return StudyEncoder(embedder, prompts=_PROMPTS, name="variant", revision="r", cache=cache)


def test_mteb_takes_it_for_an_encoder_with_its_own_name_and_revision() -> None:
    encoder = _encoder(ToyEmbedder())
    assert isinstance(encoder, EncoderProtocol)
    assert not isinstance(encoder, SearchProtocol)
    assert encoder.mteb_model_meta.name == "harness/variant"
    assert encoder.mteb_model_meta.revision == "r"


@pytest.mark.parametrize(
    ("prompt_type", "prefix"),
    [(None, "q: "), (PromptType.query, "q: "), (PromptType.document, "d: "), ("document", "d: ")],
)
def test_texts_get_the_declared_prompt_and_nothing_else(prompt_type: object, prefix: str) -> None:
    embedder = ToyEmbedder()
    batches = [{"text": ["one two", "three"], "title": ["x", "y"]}, {"text": ["four"]}]
    _encoder(embedder).encode(batches, task_metadata=_TASK, prompt_type=prompt_type)
    assert embedder.calls == [[f"{prefix}one two", f"{prefix}three", f"{prefix}four"]]


def test_the_cache_changes_no_vector_and_is_shared_between_tasks(tmp_path: Path) -> None:
    texts = ["one two", "three", "one two"]
    plain = _encoder(ToyEmbedder()).encode_texts(texts, side="document", task="A")
    embedder = ToyEmbedder()
    encoder = _encoder(embedder, EmbeddingCache(tmp_path))
    for task in ("A", "B"):
        assert np.array_equal(encoder.encode_texts(texts, side="document", task=task), plain)
    assert sorted(embedder.calls[0]) == ["d: one two", "d: three"]
    assert len(embedder.calls) == 1


def test_usage_counts_tokens_of_one_task_and_admits_when_it_does_not_know(tmp_path: Path) -> None:
    encoder = _encoder(ToyEmbedder(), EmbeddingCache(tmp_path))
    encoder.encode_texts(["one two"], side="query", task="A")
    assert encoder.usage().tokens == 4
    encoder.begin()
    encoder.encode_texts(["five"], side="query", task="B")
    assert encoder.usage().tokens == 3
    encoder.encode_texts(["one two"], side="query", task="B")
    assert encoder.usage().tokens is None


def test_the_prompt_hash_is_empty_without_prompts_and_differs_with_them() -> None:
    assert Usage(prompts={"query": "", "document": ""}).prompt_hash == ""
    hashes = {Usage(prompts={"query": text}).prompt_hash for text in ("a", "b", "a ")}
    assert len(hashes) == 3
    assert {len(value) for value in hashes} == {16}


def test_embeddings_that_are_not_numbers_are_refused_with_the_task_and_never_kept(
    tmp_path: Path,
) -> None:
    cache = EmbeddingCache(tmp_path)
    encoder = _encoder(ToyEmbedder(poison="bad"), cache)
    with pytest.raises(
        ProbeError, match="SomeTask: 1 of 2 embeddings of harness/variant are not finite"
    ):
        encoder.encode([{"text": ["good", "bad"]}], task_metadata=_TASK)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_tasks_instruction_takes_the_place_of_the_prompt_in_the_same_format() -> None:
    embedder = ToyEmbedder()
    encoder = StudyEncoder(
        embedder,
        prompts=PromptConfig(query="general", document="passage: ", format="instruct"),
        name="toy",
        revision="r",
        instructions={"query": "Find it", "text": ""},
    )
    for side in ("query", "document", "text"):
        encoder.encode_texts(["x"], side=side, task="T")
    assert embedder.calls == [["Instruct: Find it\nQuery: x"], ["passage: x"], ["x"]]
    assert encoder.usage().prompts == {
        "query": "Instruct: Find it\nQuery: ",
        "document": "passage: ",
        "text": "",
    }


def test_vectors_keep_their_length_where_asked_and_the_cache_keeps_both_apart(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    lengths = []
    for normalize in (True, False, True):
        encoder = StudyEncoder(
            ToyEmbedder(),
            prompts=PromptConfig(),
            name="toy",
            revision="r",
            cache=cache,
            normalize=normalize,
        )
        vectors = encoder.encode_texts(["river bridge", "river"], side="text", task="T")
        lengths.append(np.linalg.norm(vectors, axis=1))
    assert lengths[0] == pytest.approx([1, 1], abs=1e-6)
    assert min(lengths[1]) > 2
    assert lengths[2] == pytest.approx([1, 1], abs=1e-6)


def test_tiers_and_tasks_that_overlap_share_texts_where_company_does_not_matter(tmp_path: Path) -> None:
    embedder = ToyEmbedder(arithmetic="exact")
    encoder = _encoder(embedder, EmbeddingCache(tmp_path))
    nano = encoder.encode_texts(["b", "a"], side="document", task="NanoSciFact")
    whole = encoder.encode_texts(["a", "b", "c", "a"], side="document", task="SciFact")
    assert sum(text.endswith("c") for call in embedder.calls for text in call) == 1
    assert embedder.num_encoded == 3
    assert np.array_equal(whole[[1, 0]], nano)
    # On another processor, or with another number of threads, nothing of it is used.
    other = ToyEmbedder(arithmetic="rounded elsewhere")
    _encoder(other, EmbeddingCache(tmp_path)).encode_texts(["a"], side="document", task="SciFact")
    assert other.num_encoded == 1


def test_a_text_that_holds_its_prompt_is_another_entry_than_one_behind_it(tmp_path: Path) -> None:
    embedder = ToyEmbedder(arithmetic="exact")
    cache = EmbeddingCache(tmp_path)
    behind = _encoder(embedder, cache).encode_texts(["one two"], side="query", task="T")
    plain = StudyEncoder(embedder, prompts=PromptConfig(), name="variant", revision="r", cache=cache)
    within = plain.encode_texts(["q: one two"], side="query", task="T")
    assert embedder.calls == [["q: one two"], ["q: one two"]]
    assert np.array_equal(behind, within)

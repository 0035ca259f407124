"""Generation in this process: structure by grammar, and draws that a batch does not change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.study.document import Base
from harness.synthesis.answers import read_example
from harness.synthesis.document import Sampling, TransformersBackend
from harness.synthesis.generate import generate
from harness.synthesis.kinds import KINDS, answer_schema
from harness.synthesis.local_backend import LocalModel
from harness.synthesis.messages import Request
from tests.synthesis.builders import small

_FIELDS = ("S1", "S2", "S3")


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> LocalModel:
    """A random model, which would never write JSON of its own accord."""
    settings = TransformersBackend(kind="transformers", base=Base(path=tiny_checkpoint.name), batch=3)
    return LocalModel.load(settings, folder=tiny_checkpoint.parent)


def _request(index: int, *, prompt: str = "Write.", temperature: float = 1.0) -> Request:
    return Request(
        step="example",
        kind="sts",
        index=index,
        model="tiny",
        prompt=prompt,
        schema={
            **answer_schema(KINDS["sts"], {}, bounded=True),
            "properties": {name: {"type": "string", "minLength": 2, "maxLength": 6} for name in _FIELDS},
        },
        sampling=Sampling(temperature=temperature, max_tokens=90),
    )


def test_even_a_random_model_answers_in_json_of_the_schema(model: LocalModel) -> None:
    replies = model.ask([_request(index) for index in range(3)])
    for reply in replies:
        assert reply.finish == "stop"
        texts = json.loads(reply.text)
        assert list(texts) == ["S1", "S2", "S3"]
        assert all(2 <= len(text) <= 6 for text in texts.values())
        assert reply.input_tokens
        assert reply.output_tokens
    assert len({reply.text for reply in replies}) == 3


def test_an_answer_does_not_depend_on_its_batch(model: LocalModel) -> None:
    requests = [_request(0), _request(1, prompt="Write something longer, if you please."), _request(2)]
    together = model.ask(requests)
    assert [model.ask([request])[0].text for request in requests] == [reply.text for reply in together]


def test_the_most_likely_answer_is_the_same_for_every_seed(model: LocalModel) -> None:
    texts = {model.ask([_request(index, temperature=0.0)])[0].text for index in range(2)}
    assert len(texts) == 1


def test_an_answer_that_is_too_long_says_so(model: LocalModel) -> None:
    request = _request(0)
    short = Request(
        **{
            name: getattr(request, name)
            for name in ("step", "kind", "index", "model", "prompt", "schema")
        },
        sampling=Sampling(max_tokens=4),
    )
    (reply,) = model.ask([short])
    assert reply.finish == "length"
    assert reply.output_tokens == 4
    refused = read_example(reply, "sts")
    assert getattr(refused, "reason", "") == "cut off"


def test_a_whole_run_needs_no_server(model: LocalModel, tmp_path: Path) -> None:
    specification = small(
        tmp_path,
        backend={"kind": "transformers", "base": {"gguf": "small.yaml"}},
        kinds={"sts": 1},
        size=2,
        max_requests=4,
        sampling={"max_tokens": 400},
    )
    result = generate(specification, model, tmp_path / "out")
    again = generate(specification, model, tmp_path / "out")
    assert len(result.kept) + len(result.drops) == result.books["answers"] > 0
    assert result.books["cost"] == 0
    assert again == result

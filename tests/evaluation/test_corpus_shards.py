"""A corpus encoded in shards first: the same scores, under the same fingerprints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.errors import ProbeError
from harness.evaluation import corpora
from harness.evaluation.corpora import encode_shard
from harness.evaluation.embeddings import EmbeddingCache
from harness.evaluation.encoder import StudyEncoder
from harness.execution.states import plan_states
from harness.models.embedder import Embedder
from harness.plan import compile_plan
from harness.study import load_study
from harness.study.recipe import PromptConfig
from tests.evaluation.bench import Bench
from tests.evaluation.folders import write_scifact
from tests.evaluation.toy import ToyEmbedder

_SUITE = "  search: {tasks: [SciFact]}\n"
# mteb counts 5,183 documents, which makes three shards.
_SHARDS = "resources: {shard_documents: 2000}\n"


def _bench(folder: Path, checkpoint: Path, *, more: str = "") -> Bench:
    folder.mkdir()
    write_scifact(folder / "mirror")
    return Bench(folder, checkpoint, folder / "mirror", suites=_SUITE, more=more)


def _stages(bench: Bench, state: str) -> list[str]:
    return [one.step.stage for one in plan_states(bench.plan, bench.store) if one.state == state]


@pytest.fixture
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora, "_PART_DOCUMENTS", 16)
    monkeypatch.setattr(corpora, "CHUNK_DOCUMENTS", 16)


@pytest.mark.usefixtures("_small_parts")
def test_shards_encode_the_corpus_once_and_leave_the_same_bytes(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _bench(tmp_path / "plain", tiny_checkpoint)
    sharded = _bench(tmp_path / "sharded", tiny_checkpoint, more=_SHARDS)
    (evaluation,) = [step for step in plain.plan.steps.values() if step.stage == "evaluate"]
    assert sharded.plan.steps[evaluation.fingerprint].after
    assert _stages(sharded, "run").count("embed") == 3
    encoded: list[str] = []
    encode = Embedder.encode

    def counted(embedder: Embedder, texts: list[str], **settings: bool) -> np.ndarray:
        encoded.extend(texts)
        return encode(embedder, texts, **settings)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Embedder, "encode", counted)
        assert not sharded.run().failed
    assert not plain.run().failed
    counts = []
    for step in sharded.plan.steps.values():
        if step.stage == "embed":
            folder = sharded.store.folder("embed", step.fingerprint)
            counts.append(json.loads((folder / "shard.json").read_text())["num_documents"])
    # 70 documents in parts of 16, in turn.
    assert counts == [32, 22, 16]
    if Embedder.load(_model(sharded), device="cpu").arithmetic:
        # 60 different documents and 12 queries.
        assert len(encoded) == len(set(encoded)) == 72
    for name in ("per_query.parquet", "top.parquet"):
        files = [
            bench.store.folder("evaluate", evaluation.fingerprint) / name for bench in (plain, sharded)
        ]
        assert files[0].read_bytes() == files[1].read_bytes()


def _model(bench: Bench) -> Path:
    (base,) = [step for step in bench.plan.steps.values() if step.stage == "base"]
    return bench.store.folder("base", base.fingerprint)


def test_shards_are_spared_where_their_evaluation_is_done(tmp_path: Path, tiny_checkpoint: Path) -> None:
    plain = _bench(tmp_path / "plain", tiny_checkpoint)
    plain.run()
    study = tmp_path / "plain" / "study.yaml"
    study.write_text(study.read_text() + _SHARDS)
    plain.plan = compile_plan(load_study(study))
    assert "embed" in _stages(plain, "reuse")
    assert _stages(plain, "run") == []


def test_a_shard_with_bad_embeddings_is_the_reason_of_its_cell(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = _bench(tmp_path / "bad", tiny_checkpoint, more=_SHARDS)
    encode = Embedder.encode
    monkeypatch.setattr(Embedder, "encode", lambda *given, **settings: encode(*given, **settings)[:, 1:])
    (record,) = bench.records(bench.run())
    assert record.state == "failed"
    assert "gave vectors of shape" in record.reason


def test_every_document_is_in_one_shard_and_a_restart_encodes_nothing_twice(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(corpora._PART_DOCUMENTS * 2 + 7)]
    embedder = ToyEmbedder(arithmetic="exact", poison=texts[-1])
    cache = EmbeddingCache(tmp_path)
    encoder = StudyEncoder(embedder, prompts=PromptConfig(), name="toy", revision="r", cache=cache)

    def shard(number: int) -> int:
        whole = [(len(texts), lambda first, last: texts[first:last])]
        return encode_shard(encoder, whole, task="T", shard=number, num_shards=2)

    assert shard(1) == corpora._PART_DOCUMENTS
    with pytest.raises(ProbeError, match="not finite"):
        shard(0)
    before = embedder.num_encoded
    with pytest.raises(ProbeError, match="not finite"):
        shard(0)
    assert embedder.num_encoded - before == 7

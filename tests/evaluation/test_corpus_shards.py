"""A corpus encoded in shards first: the same scores, under the same fingerprints."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.errors import DataError, ProbeError
from harness.evaluation import corpora
from harness.evaluation.beir_data import document_text, load_beir
from harness.evaluation.corpora import beir_corpora, encode_shard, mteb_corpora
from harness.evaluation.embeddings import EmbeddingCache
from harness.evaluation.encoder import StudyEncoder
from harness.execution.states import plan_states
from harness.models.embedder import Embedder
from harness.plan import compile_plan
from harness.study import load_study
from harness.study.benchmarks import Limits
from harness.study.recipe import PromptConfig
from harness.study.task_facts import task_datasets
from tests.evaluation.bench import Bench
from tests.evaluation.folders import pack, search_data, write_beir_folder, write_scifact
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


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "packed"])
def test_a_beir_folder_is_encoded_in_shards_that_leave_the_same_bytes(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, is_packed: bool
) -> None:
    plain, few, many = (
        _beir_bench(tmp_path / name, tiny_checkpoint, is_packed=is_packed, more=more)
        for name, more in (("plain", ""), ("few", _of(40)), ("many", _of(20)))
    )
    (evaluation,) = [step for step in plain.plan.steps.values() if step.stage == "evaluate"]
    # 70 lines.
    assert [_stages(bench, "run").count("embed") for bench in (plain, few, many)] == [0, 2, 4]
    encode = Embedder.encode

    def killed(embedder: Embedder, texts: list[str], **settings: bool) -> np.ndarray:
        if any(text.startswith(last_title) for text in texts):
            raise ProbeError("killed")
        return encode(embedder, texts, **settings)  # type: ignore[arg-type]

    last_title = search_data()[0][59]["title"]
    with monkeypatch.context() as patch:
        patch.setattr(Embedder, "encode", killed)
        first = many.run()
    assert len(first.failed) == 1
    again = many.run()
    assert [many.plan.steps[name].stage for name in again.done] == ["embed", "evaluate"]
    for bench in (plain, few):
        assert not bench.run().failed
    folders = [bench.store.folder("evaluate", evaluation.fingerprint) for bench in (plain, few, many)]
    for name in ("per_query.parquet", "top.parquet", "beir/small.json"):
        assert len({(folder / name).read_bytes() for folder in folders}) == 1, name


@pytest.mark.usefixtures("_small_parts")
def test_shards_of_a_beir_folder_are_what_its_scoring_asks_for(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = _beir_bench(tmp_path / "bench", tiny_checkpoint, is_packed=False, more=_of(20))
    encoded: list[str] = []
    encode = Embedder.encode

    def counted(embedder: Embedder, texts: list[str], **settings: bool) -> np.ndarray:
        encoded.extend(texts)
        return encode(embedder, texts, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(Embedder, "encode", counted)
    assert not bench.run().failed
    if Embedder.load(_model(bench), device="cpu").arithmetic:
        assert len(encoded) == len(set(encoded)) == 72


def _of(documents: int) -> str:
    return f"resources: {{shard_documents: {documents}}}\n"


def _beir_bench(folder: Path, checkpoint: Path, *, is_packed: bool, more: str) -> Bench:
    write_beir_folder(folder / "data" / "small", *search_data())
    write_scifact(folder / "mirror")
    if is_packed:
        pack(folder / "data")
    suites = "  search: {evaluator: beir, folder: data, tasks: [small]}\n"
    return Bench(folder, checkpoint, folder / "mirror", suites=suites, more=more)


def test_a_corpus_that_is_damaged_is_told_by_its_scoring(tmp_path: Path, tiny_checkpoint: Path) -> None:
    (tmp_path / "data" / "small").mkdir(parents=True)
    (tmp_path / "data" / "small" / "corpus.jsonl.gz").write_bytes(b"no gzip")
    write_scifact(tmp_path / "mirror")
    suites = "  search: {evaluator: beir, folder: data, tasks: [small]}\n"
    bench = Bench(tmp_path, tiny_checkpoint, tmp_path / "mirror", suites=suites, more=_of(1))
    assert _stages(bench, "run") == ["base", "evaluate"]
    (record,) = bench.records(bench.run())
    assert (record.state, "does not unpack" in record.reason) == ("failed", True)


def test_a_shard_reads_a_corpus_in_its_order_and_keeps_none(tmp_path: Path) -> None:
    write_beir_folder(tmp_path / "small", *search_data())
    ((num_documents, texts),) = beir_corpora("small", folder=tmp_path)
    whole = [document_text(one) for one in load_beir("small", tmp_path).corpus.values()]
    assert num_documents == len(whole)
    assert [texts(3, 5), texts(5, 6), texts(60, 70)] == [whole[3:5], whole[5:6], whole[60:70]]
    (tmp_path / "small" / "corpus.jsonl").write_text('{"_id": "d1", "text": null}\n')
    ((_, texts),) = beir_corpora("small", folder=tmp_path)
    with pytest.raises(DataError, match="has no text"):
        texts(0, 1)


def test_shards_of_an_aggregate_are_of_the_corpora_of_its_parts(tmp_path: Path) -> None:
    write_scifact(tmp_path / "made")
    parts = task_datasets("CQADupstackRetrieval")
    assert len(parts) == 12
    for part in parts:
        shutil.copytree(tmp_path / "made" / "mteb" / "scifact", tmp_path / "mirror" / part.name)
    found = mteb_corpora("CQADupstackRetrieval", mirrors=[tmp_path / "mirror"], limits=Limits())
    assert [(num, len(texts(0, 3))) for num, texts in found] == [(70, 3)] * 12


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

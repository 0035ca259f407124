"""A variant's scores are those of plain mteb, and of plain BEIR, on its saved folder.

The stock side knows nothing of this project: `SentenceTransformer(folder)` in `mteb.evaluate`, or in
BEIR's own search. Every number of a result file is compared, not only the main score.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mteb
import pytest
from beir.datasets.data_loader import GenericDataLoader
from beir.retrieval.evaluation import EvaluateRetrieval
from beir.retrieval.models import SentenceBERT
from beir.retrieval.search.dense import DenseRetrievalExactSearch
from sentence_transformers import SentenceTransformer

from harness.evaluation.beir_runner import CUTOFFS, evaluate_beir
from harness.evaluation.embeddings import EmbeddingCache
from harness.evaluation.encoder import StudyEncoder
from harness.evaluation.mirror import use_mirrors
from harness.evaluation.mteb_runner import evaluate_mteb
from harness.models.bases import prepare_base
from harness.models.embedder import Embedder
from harness.study.benchmarks import Limits
from harness.study.recipe import ModelConfig, PromptConfig
from tests.evaluation.folders import read_packed
from tests.evaluation.trimmed import (
    trim,
    trim_search,
    write_instructed_reranking,
    write_instructed_search,
    write_multilabel,
    write_regression,
    write_reranking,
)

_LIMIT = "orionweller/LIMIT-small"
_PROMPTS = PromptConfig(query="Find what answers: ", document="Text: ")


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model folder with prompts."""
    output = tmp_path_factory.mktemp("parity-model")
    prepare_base(
        config=ModelConfig(base="tiny-llama", max_length=48),
        prompts=_PROMPTS,
        checkpoint=tiny_checkpoint,
        gguf=None,
        output=output,
    )
    return output


@pytest.fixture(scope="module")
def encoder(model: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyEncoder:
    """The model as an evaluation step sees it, cache included."""
    embedder = Embedder.load(model, device="cpu")
    cache = EmbeddingCache(tmp_path_factory.mktemp("parity-cache"))
    return StudyEncoder(embedder, prompts=embedder.prompts, name="v", revision="r", cache=cache)


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real datasets of every type, cut short."""
    source, root = shared_data / "mirror", tmp_path_factory.mktemp("real")
    for name, rows in {
        "mteb/banking77": 400,
        "mteb/sib200": 40,
        "mteb/xnli": 90,
        "mteb/stsbenchmark-sts": 120,
        "mteb/summeval": 4,
        "mteb/XQuADRetrieval": 80,
    }.items():
        trim(source / name, root / name, rows=rows)
    name = "mteb/tatoeba-bitext-mining"
    trim(source / name, root / name, rows=60, languages=("cmn-eng", "deu-eng", "heb-eng"))
    for name in ("mteb/scifact", "mteb/BIRCO-WTB-Test", "embedding-benchmark/MBPP", _LIMIT):
        trim_search(source / name, root / name, queries=25, documents=60, split="test")
    name = "code-rag-bench/programming-solutions"
    trim(source / name, root / name, rows=10**6)
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up datasets of the types of which there is no real one at hand."""
    root = tmp_path_factory.mktemp("made")
    write_multilabel(root)
    write_regression(root)
    write_reranking(root / "mteb" / "AskUbuntuDupQuestions")
    write_instructed_reranking(root / "mteb" / "Core17InstructionRetrieval")
    write_instructed_search(root / "mteb" / "InstructIR-mteb")
    return root


def _numbers(scores: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number of a result with its place; what mteb could not compute is NaN."""
    if isinstance(scores, dict):
        for name, value in scores.items():
            yield from _numbers(value, f"{place}/{name}")
    elif isinstance(scores, list):
        for index, value in enumerate(scores):
            yield from _numbers(value, f"{place}/{index}")
    elif isinstance(scores, int | float):
        yield place, float(scores)


def _tolerance(place: str) -> float:
    # How well confidence tells right from wrong goes by the order of queries that are a rounding apart.
    return 1e-2 if "nauc" in place else 1e-4


def _assert_same(
    encoder: StudyEncoder, model: Path, task: str, mirror: Path, output: Path, limits: Limits
) -> None:
    scores = evaluate_mteb(encoder, task, output=output, mirrors=[mirror], limits=limits)
    (kept,) = output.rglob(f"{task}.json")
    with use_mirrors([mirror]):
        stock = mteb.evaluate(
            SentenceTransformer(str(model)),
            mteb.get_task(task, hf_subsets=limits.subsets, eval_splits=limits.splits),
            cache=None,
            co2_tracker=False,
            show_progress_bar=False,
        ).task_results[0]
    ours = dict(_numbers(json.loads(kept.read_text())["scores"]))
    theirs = dict(_numbers(stock.scores))
    assert ours.keys() == theirs.keys()
    assert len(ours) > 4
    different = {
        place: (value, theirs[place])
        for place, value in ours.items()
        if not math.isclose(value, theirs[place], abs_tol=_tolerance(place))
        and not (math.isnan(value) and math.isnan(theirs[place]))
    }
    assert not different
    mains = {(score.split, score.subset): score.value for score in scores if score.is_main}
    assert mains == {
        (split, entry["hf_subset"]): pytest.approx(entry["main_score"], abs=1e-4)
        for split, entries in stock.scores.items()
        for entry in entries
    }
    assert {score.state for score in scores} == {"ok"}


@pytest.mark.parametrize(
    ("task", "subsets"),
    [
        ("SciFact", None),
        ("MBPPRetrieval", None),
        ("BIRCO-WTB", None),
        ("LIMITSmallRetrieval", None),
        ("XQuADRetrieval", ("en", "ar", "zh")),
        ("CodeRAGProgrammingSolutions", None),
        ("Banking77Classification", None),
        ("SIB200Classification", ("eng_Latn", "deu_Latn")),
        ("SIB200ClusteringS2S", ("eng_Latn",)),
        ("XNLI", ("en", "ar")),
        ("STSBenchmark", None),
        ("SummEval", None),
        ("Tatoeba", ("deu-eng", "heb-eng", "cmn-eng")),
    ],
)
def test_a_real_task_scores_as_in_plain_mteb(
    task: str,
    subsets: tuple[str, ...] | None,
    encoder: StudyEncoder,
    model: Path,
    real: Path,
    tmp_path: Path,
) -> None:
    _assert_same(encoder, model, task, real, tmp_path, Limits(subsets=subsets))


@pytest.mark.parametrize(
    "task",
    [
        "CEDRClassification",
        "RuSciBenchYearPublRegression",
        "AskUbuntuDupQuestions",
        "Core17InstructionRetrieval",
        "InstructIR",
    ],
)
def test_a_made_up_task_scores_as_in_plain_mteb(
    task: str, encoder: StudyEncoder, model: Path, made: Path, tmp_path: Path
) -> None:
    _assert_same(encoder, model, task, made, tmp_path, Limits())


@pytest.mark.parametrize("name", ["mteb/scifact", "mteb/BIRCO-WTB-Test", _LIMIT])
def test_a_beir_folder_scores_as_in_plain_beir(
    name: str, encoder: StudyEncoder, model: Path, real: Path, tmp_path: Path
) -> None:
    dataset = Path(name).name
    evaluate_beir(encoder, dataset, folder=real / name, output=tmp_path)
    ours = json.loads((tmp_path / "beir" / f"{dataset}.json").read_text())["metrics"]
    for file in ("corpus.jsonl", "queries.jsonl"):
        rows = read_packed(real / name / f"{file}.gz")
        (tmp_path / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
    loader = GenericDataLoader(
        corpus_file=str(tmp_path / "corpus.jsonl"),
        query_file=str(tmp_path / "queries.jsonl"),
        qrels_file=str(real / name / "qrels" / "test.tsv"),
    )
    corpus, queries, qrels = loader.load_custom()
    bare = SentenceBERT(str(model), prompts={"query": _PROMPTS.query, "passage": _PROMPTS.document})
    search = EvaluateRetrieval(
        DenseRetrievalExactSearch(bare, batch_size=16), k_values=list(CUTOFFS), score_function="cos_sim"
    )
    found = search.retrieve(corpus, queries)
    groups = EvaluateRetrieval.evaluate(qrels, found, list(CUTOFFS))
    theirs = {metric: value for group in groups for metric, value in group.items()}
    theirs |= EvaluateRetrieval.evaluate_custom(qrels, found, list(CUTOFFS), "mrr")
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert any(0 < value < 1 for value in ours.values())

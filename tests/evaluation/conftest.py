"""Fixtures of the evaluation tests: a small mirror, a toy encoder, a cache of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest

from harness.data.bbc import build_bbc
from harness.evaluation.encoder import StudyEncoder
from harness.study.recipe import PromptConfig
from tests.evaluation.folders import write_banking, write_scifact, write_sts
from tests.evaluation.toy import ToyEmbedder


@pytest.fixture(autouse=True, scope="session")
def _own_dataset_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what `datasets` converts out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))
        yield


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirror with small sets for STSBenchmark, Banking77Classification and SciFact."""
    root = tmp_path_factory.mktemp("mirror")
    write_sts(root)
    write_banking(root)
    write_scifact(root)
    return root


@pytest.fixture(scope="session")
def bbc_source(tiny_news: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source folder made of made-up news."""
    output = tmp_path_factory.mktemp("bbc-source")
    build_bbc(tiny_news, output, num_test=30, num_classification_train=50, seed=0)
    return output


@pytest.fixture
def encoder() -> StudyEncoder:
    """The toy embedder as a variant with a query prompt."""
    return StudyEncoder(
        ToyEmbedder(), prompts=PromptConfig(query="query: "), name="toy", revision="revision-1"
    )

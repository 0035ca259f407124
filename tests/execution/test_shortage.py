"""A step that lacked memory says how much it had, how much there is, and what its kind of step heeds."""

from __future__ import annotations

import signal

import pytest

from harness.errors import HarnessError, MemoryLimitError
from harness.execution.failures import describe_error, describe_exit
from harness.study.document import ResourcePlan, Resources

_GIB = 1 << 30


@pytest.mark.parametrize(
    ("stage", "named", "not_named"),
    [
        ("evaluate", "resources.shard_documents", "resources.train"),
        ("embed", "model.max_length", "resources.train"),
        ("contrast", "resources.train.micro_batch", "shard_documents"),
        ("reconstruct", "resources.train.gradient_checkpointing", "shard_documents"),
        ("mine", "resources.prepare.cpus", "micro_batch"),
    ],
)
def test_settings_are_those_of_the_kind_of_step(stage: str, named: str, not_named: str) -> None:
    killed = describe_exit(
        -signal.SIGKILL, stage=stage, num_kills=1, peak_bytes=3 * _GIB, limit_bytes=4 * _GIB
    )
    raised = describe_error(MemoryError("Unable to allocate 9.1 GiB"), stage=stage)
    for failure in (killed, raised):
        first, cure = failure.message.split("\n")
        assert failure.kind == "host-oom"
        assert "GiB of " in first
        assert named in cure
        assert not_named not in cure
    assert "peak 3.0 GiB of 4.0 GiB" in killed.message
    assert raised.message.startswith("MemoryError: Unable to allocate 9.1 GiB (peak ")


def test_the_settings_that_are_named_are_there() -> None:
    assert {"evaluate", "prepare", "train", "shard_documents"} <= set(ResourcePlan.__slots__)
    assert {"cpus", "micro_batch", "gradient_checkpointing"} <= set(Resources.__slots__)


def test_an_error_that_knows_its_own_cure_keeps_it() -> None:
    error = HarnessError("memory ran out while a single text was encoded", cure="cut texts shorter")
    error.__cause__ = MemoryError()
    failure = describe_error(error, stage="evaluate")
    first, cure = failure.message.split("\n")
    assert first.startswith("memory ran out while a single text was encoded (peak ")
    assert cure.strip() == "cut texts shorter"
    assert describe_error(MemoryLimitError("x", cure="y"), stage="contrast").message.endswith("  y")


def test_what_is_one_fault_has_one_signature_whatever_the_peak() -> None:
    found = {describe_error(MemoryError("9 bytes"), stage=stage).signature for stage in ("a", "b")}
    assert len(found) == 1

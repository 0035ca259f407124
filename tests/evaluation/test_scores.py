from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import RecordError
from harness.evaluation.scores import Score, read_scores, write_scores

_SCORE = Score(task="B", task_type="STS", split="test", subset="en", metric="m", value=0.25, tokens=3)


def test_scores_come_back_as_they_were_written_in_sorted_order(tmp_path: Path) -> None:
    other = Score(
        task="A",
        task_type="STS",
        split="test",
        subset="en",
        metric="m",
        state="failed",
        reason="why\nnot",
    )
    path = tmp_path / "new" / "scores.jsonl"
    write_scores(path, [_SCORE, other])
    assert read_scores(path) == [other, _SCORE]
    assert len(path.read_text().splitlines()) == 2
    assert [file.name for file in path.parent.iterdir()] == ["scores.jsonl"]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    write_scores(path, [_SCORE])
    path.write_text(path.read_text() + '{"task": "B"}\n')
    with pytest.raises(RecordError, match=r"scores\.jsonl:2: not a score"):
        read_scores(path)


def test_a_missing_file_is_an_error_with_a_cure(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no such file"):
        read_scores(tmp_path / "scores.jsonl")


def test_a_record_has_all_fields_of_the_score() -> None:
    record = _SCORE.to_record(variant="v", revision="r", seed=1, suite="s")
    assert (record.variant, record.revision, record.seed, record.suite) == ("v", "r", 1, "s")
    assert (record.task, record.value, record.tokens) == ("B", 0.25, 3)

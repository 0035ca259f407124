"""One measured number, before it is known which study, variant and seed it belongs to.

Owns `Score` and its file, `scores.jsonl`. The rule: an evaluator returns scores only; whoever asked
for them adds the variant, its revision, its seed and the suite, and gets a `Record`. What could not
be measured is a score too, with a state and a reason.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.errors import RecordError
from harness.identity.replacing import replace_text
from harness.records.schema import Record, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One value of one model on one task, split, subset and metric.

    The fields mean what they mean in `harness.records.schema.Record`.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", defer_build=True)

    task: str
    task_type: str
    split: str
    subset: str
    languages: tuple[str, ...] = ()
    metric: str
    is_main: bool = True
    value: float | None = None
    higher_is_better: bool = True
    num_queries: int | None = None
    state: State = "ok"
    reason: str = ""
    prompt_hash: str = ""
    prompts: dict[str, str] = field(default_factory=dict)
    """Side -> the exact text that stood before the task's texts; a record keeps its hash."""
    dataset_revision: str = ""
    evaluator: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    wall_seconds: float | None = None
    tokens: int | None = None
    source: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What orders a file of scores."""
        return (self.task, self.split, self.subset, self.metric)

    def to_record(self, *, variant: str, revision: str, seed: int | None, suite: str) -> Record:
        """Return the record of this score for one variant, seed and suite."""
        names = (f.name for f in dataclasses.fields(self) if f.name != "prompts")
        fields = {name: getattr(self, name) for name in names}
        return Record(variant=variant, revision=revision, seed=seed, suite=suite, **fields)


_ADAPTER = TypeAdapter(Score)


def write_scores(path: Path, scores: Iterable[Score]) -> None:
    """Write scores as JSON lines sorted by task, split, subset and metric.

    The file is replaced as a whole, so a reader never sees half of it.
    """
    lines = [
        json.dumps(dataclasses.asdict(score), ensure_ascii=False, sort_keys=True, allow_nan=False)
        for score in sorted(scores, key=lambda score: score.key)
    ]
    replace_text(path, "".join(f"{line}\n" for line in lines))


def read_scores(path: Path) -> list[Score]:
    """Read a file that `write_scores` wrote.

    Raises:
        RecordError: If the file is missing or a line of it is no score; says which line.
    """
    try:
        # Not str.splitlines: it also cuts at separators that JSON strings may hold as they are.
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as error:
        raise RecordError(f"{path}: no such file", cure="an evaluation writes it") from error
    scores = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            scores.append(_ADAPTER.validate_json(line))
        except ValidationError as error:
            raise RecordError(f"{path}:{number}: not a score: {error}") from error
    return scores

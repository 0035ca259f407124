"""In which ways the scores on one task were measured.

Owns `Ways`. The rule: scores whose records agree in everything that must be alike where they are
compared were measured in one way, which has a number and one record as its example. Hundreds of rows are
measured in a handful of ways, so that whoever compares them looks at a handful of records. What a
difference between two ways means is left to `comparable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from harness.records.schema import Record

_WAY = attrgetter(
    "split",
    "subset",
    "evaluator",
    "dataset_revision",
    "num_queries",
    "higher_is_better",
    "prompt_hash",
    "versions",
)


class Ways:
    """How each member of a study was measured on one task.

    Attributes:
        of_members: The numbers of each member's ways, in the order of its records; nothing for a member
            without a value.
        examples: A record for each way, by number.
    """

    def __init__(self) -> None:
        self.of_members: list[tuple[int, ...]] = []
        self.examples: list[Record] = []
        self._numbers: dict[tuple[object, ...], int] = {}
        self._last: tuple[object, ...] = ()
        self._number_of_last: tuple[int, ...] = ()

    def add(self, records: Sequence[Record]) -> None:
        """Add the next member, with the records behind its value."""
        if len(records) == 1:
            self.of_members.append(self._number(records[0]))
        else:
            self.of_members.append(tuple([number for one in records for number in self._number(one)]))

    def _number(self, record: Record) -> tuple[int, ...]:
        way = _WAY(record), not record.revision
        # Most are measured as the last one was, which is told sooner than a way's hash is made.
        if way != self._last:
            (*fields, versions), lacks_revision = way
            named = (*fields, lacks_revision, tuple(versions.items()))
            number = self._numbers.setdefault(named, len(self.examples))
            if number == len(self.examples):
                self.examples.append(record)
            self._last, self._number_of_last = way, (number,)
        return self._number_of_last

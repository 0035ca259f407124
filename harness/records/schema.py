"""The schema of one measurement.

Owns `Record`, the one row type that every evaluator writes and every table reads. The rule: a record
says in full what was measured, on what, by what, in which unit; a measurement that could not be had
is a record too, with a state and a reason instead of a value.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

State = Literal[
    "ok",
    "not_applicable",
    "failed",
    "missing",
    "missing_split",
    "missing_subset",
    "other_metric",
    "not_a_number",
    "out_of_range",
    "two_values",
    "partial_aggregate",
    "duplicate_revision",
    "unreadable",
]
"""`ok` alone has a value. From `missing_split` on, the states name what is wrong with a result file that
was made elsewhere: it holds another split, another subset or another metric than the one asked for; a
number that is none, or that is not between -1 and 1; several numbers for one split, subset and metric;
an aggregate beside only some of its parts; two revisions of a model that differ where one was asked for;
no scores that can be read."""
STATES: tuple[str, ...] = get_args(State)

BroadState = Literal["ok", "not_applicable", "failed", "missing"]

Remark = Literal[
    "duplicate_revision", "recorded_main_differs", "other_spelling", "judged_without_results"
]
"""What is worth knowing of a value: another revision of the model has one too; the file records another
number as its main score; the metric stands in the file under a name that may mean another similarity;
a run found nothing for some judged queries, which count as 0."""


def broad_state(state: State) -> BroadState:
    """Return the one of the four plain states that a state is a case of."""
    if state == "ok" or state == "not_applicable" or state == "failed":
        return state
    return "missing" if state in {"missing", "missing_split", "missing_subset"} else "failed"


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """One score of one variant with one seed on one task, split, subset and metric.

    A struct, since studies have them by the hundred thousand: they are read five times as fast.
    """

    variant: str
    """Slug of the variant: the model name under which mteb's result files are kept."""
    revision: str
    """Fingerprint of the step that made the model; empty for models without one."""
    seed: int | None
    """Seed of the variant; None where nothing was trained."""
    suite: str
    """Suite that asked for the task; empty for results that were read from elsewhere."""
    task: str
    task_type: str
    """mteb's task type: Retrieval, Classification, Clustering, ..."""
    split: str
    subset: str
    """mteb's `hf_subset`; `default` where a task has only one."""
    languages: tuple[str, ...] = ()
    """ISO 639-3 code and script of each language, as in `eng-Latn`."""
    metric: str
    """Name of the metric in the evaluator's own words, such as `ndcg_at_10`."""
    is_main: bool = True
    """Whether this is the task's main score, the one that tables show."""
    value: float | None = None
    """The score as the evaluator gives it (0 to 1 for most metrics); None unless the state is ok."""
    higher_is_better: bool = True
    num_queries: int | None = None
    """Queries, rows or pairs that the value is a mean over; None where it is not known."""
    state: State = "ok"
    reason: str = ""
    """Why there is no value, and the command that would bring one."""
    prompt_hash: str = ""
    """First 16 digits of the SHA-256 of the exact prompt texts; empty for no prompt."""
    dataset_revision: str = ""
    evaluator: str = ""
    """Package and version that computed the value, such as `mteb 2.26.24`."""
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    """Package versions at the time."""
    wall_seconds: float | None = None
    tokens: int | None = None
    """Tokens encoded for this task, duplicates not counted; None where it is not known."""
    source: str = ""
    """Where the value was read: a result file's path relative to its store or folder."""
    remarks: tuple[Remark, ...] = ()

    @property
    def key(self) -> tuple[str, str, int, str, str, str, str, str]:
        """What must be unique: two different values for one key are a contradiction.

        A variant of a study has one revision a seed, so that two would contradict each other. Records
        without a suite come from result folders, which keep several revisions of a model side by side.
        """
        seed = -1 if self.seed is None else self.seed
        revision = "" if self.suite else self.revision
        return (
            self.variant,
            revision,
            seed,
            self.suite,
            self.task,
            self.split,
            self.subset,
            self.metric,
        )


COLUMNS: tuple[str, ...] = Record.__struct_fields__

"""Which run belongs to which judgements, and the records that come of it.

Owns the two layouts of a folder of runs: `<model>/<Task>.run` beside `qrels/<Task>.tsv` (or judgements
given by name), and BEIR's `<Task>/qrels/<split>.tsv` with `<Task>/<model>.run` beside `qrels`. The rule:
a run without judgements, or one that cannot be read, is a record that says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import RecordError
from harness.records.facts import task_facts
from harness.records.schema import Record, Remark, State
from harness.records.trec import METRICS, RunScores, evaluator, read_judgements, read_run, score_run

RUN_SUFFIXES = frozenset({".run", ".trec", ".res"})
_JUDGEMENT_SUFFIXES = (".tsv", ".qrels", ".txt", ".trec")
_QRELS = "qrels"

BEIR_NAMES = {
    "arguana": "ArguAna",
    "climate-fever": "ClimateFEVER",
    "cqadupstack": "CQADupstackRetrieval",
    "dbpedia-entity": "DBPedia",
    "fever": "FEVER",
    "fiqa": "FiQA2018",
    "hotpotqa": "HotpotQA",
    "msmarco": "MSMARCO",
    "nfcorpus": "NFCorpus",
    "nq": "NQ",
    "quora": "QuoraRetrieval",
    "scidocs": "SCIDOCS",
    "scifact": "SciFact",
    "trec-covid": "TRECCOVID",
    "webis-touche2020": "Touche2020",
}
"""BEIR's name of a dataset -> mteb's name of the task on the same data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFile:
    """One run and what judges it."""

    path: Path
    model: str
    task: str
    split: str
    judgements: Path | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRun:
    """The records of one run and its scores by query, if it could be scored."""

    records: tuple[Record, ...]
    scores: RunScores | None
    run: RunFile


def find_runs(folder: Path, *, name: str, qrels: Path | None = None) -> list[RunFile]:
    """Return every run below `folder` with its judgements.

    Args:
        folder: Where the runs are.
        name: What the import is called.
        qrels: A file or folder of judgements; by default those in `folder`.

    Raises:
        RecordError: If `qrels` is not there.
    """
    if qrels is not None and not qrels.exists():
        raise RecordError(f"{qrels}: no such file or folder", cure="--qrels takes judgements")
    root = folder.resolve()
    runs = []
    for path in sorted(root.rglob("*")):
        is_run = path.suffix in RUN_SUFFIXES or (qrels is not None and path.suffix == ".json")
        inner = path.relative_to(root).parts
        if path.is_file() and is_run and _QRELS not in inner and not path.name.startswith("."):
            runs.append(_run(path, root, name, qrels))
    return runs


def score_file(run: RunFile) -> ScoredRun:
    """Return the records of a run; one that cannot be scored has one record that says why."""
    if run.judgements is None:
        reason = f"{run.source}: no judgements of {run.task} are there"
        return ScoredRun(records=(_gap(run, "missing", reason),), scores=None, run=run)
    try:
        scores = score_run(read_run(run.path), read_judgements(run.judgements))
    except RecordError as error:
        return ScoredRun(records=(_gap(run, "unreadable", error.message),), scores=None, run=run)
    remarks: tuple[Remark, ...] = ("judged_without_results",) if scores.num_without_results else ()
    records = tuple(
        _record(
            run,
            metric=metric,
            is_main=metric == METRICS[0],
            value=scores.mean(metric),
            num_queries=len(scores.by_query[metric]),
            evaluator=evaluator(),
            remarks=remarks,
        )
        for metric in METRICS
    )
    return ScoredRun(records=records, scores=scores, run=run)


def _run(path: Path, root: Path, name: str, qrels: Path | None) -> RunFile:
    source = "/".join([name, *path.relative_to(root).parts])
    beir = next(
        (one for one in path.parents if one.is_relative_to(root) and (one / _QRELS).is_dir()), None
    )
    if qrels is None and beir is not None and beir != root:
        return _beir_run(path, beir, source)
    stem, _, split = path.stem.partition(".")
    model = path.parent.name if path.parent != root else ""
    where = qrels.resolve() if qrels is not None else root / _QRELS
    if where.is_file():
        task, named = _named(where)
        # One file of judgements: a run is named after its task or after its model.
        model = stem if stem != task or not model else model
        return _made(path, model, task, split or named, where, source)
    splits = _judgements_of(where, stem)
    chosen = split or ("test" if "test" in splits else "")
    if not chosen and len(splits) == 1:
        chosen = next(iter(splits))
    return _made(path, model or "run", stem, chosen or "test", splits.get(chosen or "test"), source)


def _beir_run(path: Path, folder: Path, source: str) -> RunFile:
    """Return a run inside a BEIR folder: `<model>.run`, or `<model>.<split>.run` for several splits."""
    splits = {one.stem: one for one in sorted((folder / _QRELS).glob("*.tsv"))}
    model, split = path.stem, "test" if "test" in splits or len(splits) != 1 else next(iter(splits))
    for one in splits:
        if path.stem.endswith(f".{one}"):
            model, split = path.stem.removesuffix(f".{one}"), one
    return _made(path, model, folder.name, split, splits.get(split), source)


def _judgements_of(where: Path, task: str) -> dict[str, Path]:
    """Return the judgements of a task by split."""
    for suffix in _JUDGEMENT_SUFFIXES:
        if (where / f"{task}{suffix}").is_file():
            return {"test": where / f"{task}{suffix}"}
    found: dict[str, Path] = {}
    for folder in (where / task / _QRELS, where / task):
        for one in _files(folder):
            found.setdefault(one.stem, one)
    return found


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(one for one in folder.iterdir() if one.suffix in _JUDGEMENT_SUFFIXES)


def _named(path: Path) -> tuple[str, str]:
    """Return the task and the split that a single file of judgements is named after."""
    if path.parent.name == _QRELS:
        return path.parent.parent.name, path.stem
    return path.stem.removeprefix("qrels.").removesuffix(".qrels"), "test"


def _made(
    path: Path, model: str, task: str, split: str, judgements: Path | None, source: str
) -> RunFile:
    return RunFile(
        path=path,
        model=model,
        task=BEIR_NAMES.get(task, task),
        split=split,
        judgements=judgements,
        source=source,
    )


def _gap(run: RunFile, state: State, reason: str) -> Record:
    return _record(run, metric=METRICS[0], state=state, reason=reason)


def _record(run: RunFile, **fields: Any) -> Record:
    facts = task_facts().get(run.task)
    return Record(
        variant=run.model,
        revision="",
        seed=None,
        suite="",
        task=run.task,
        task_type=facts.task_type if facts else "Retrieval",
        split=run.split,
        subset="default",
        languages=facts.languages if facts else (),
        source=run.source,
        **fields,
    )

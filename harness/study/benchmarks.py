"""From a suite as a study writes it to its tasks, each with the splits and subsets that count.

Owns the benchmarks of mteb by name, the suites of this project (`suites.yaml`) and the filters. The
rule: a benchmark's task is exactly what mteb's benchmark object makes of it, aggregates included, and a
task without restrictions is the same task in every suite, so that it is scored once. The benchmarks'
content is read from the facts that lie beside the records (`mteb_suites.json`), as data: mteb is not
loaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml
from pydantic import TypeAdapter

from harness.errors import StudyError, did_you_mean
from harness.study.catalogue import PASSKEY_TASK, task_types
from harness.study.task_facts import Dataset, is_text_task, subset_languages, task_datasets, task_parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a suite leaves of a task; None where it leaves everything."""

    splits: tuple[str, ...] | None = None
    subsets: tuple[str, ...] | None = None

    def plain(self) -> dict[str, list[str]]:
        """Return the restrictions that there are, for a step's configuration."""
        return {
            name: list(value)
            for name in ("splits", "subsets")
            if (value := getattr(self, name)) is not None
        }

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Limits:
        """Return the restrictions that a step's configuration holds."""
        return cls(splits=_as_tuple(config.get("splits")), subsets=_as_tuple(config.get("subsets")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which tasks are asked for: a benchmark, a list, or a list out of a benchmark, filtered."""

    benchmark: str | None = None
    tasks: tuple[str, ...] = ()
    task_types: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_length: int | None = None


def benchmark_names() -> dict[str, str]:
    """Return every name and alias of a benchmark or of a suite of this project -> its own name."""
    suites = _suites()
    names = {alias: name for name, suite in suites.items() for alias in suite["aliases"]}
    return names | {name: name for name in suites} | {name: name for name in named_suites()}


@cache
def named_suites() -> Mapping[str, Selection]:
    """Return the suites of this project by name."""
    text = resources.files("harness.study").joinpath("suites.yaml").read_text(encoding="utf-8")
    adapter = TypeAdapter(dict[str, Selection])
    return adapter.validate_python(yaml.safe_load(text))


def select_tasks(selection: Selection) -> dict[str, Limits]:
    """Return the tasks of a selection with what counts of each, in the order of list or benchmark.

    Raises:
        StudyError: If a name is unknown, a listed task is not in the benchmark or not on text, or no
            task is left.
    """
    found = _chosen(selection)
    _check_filters(selection, found)
    kept = {}
    for task, limits in found.items():
        if task in selection.exclude:
            continue
        if selection.task_types and task_types()[task] not in selection.task_types:
            continue
        subsets = _subsets_left(task, limits.subsets, selection)
        if subsets is not None and not subsets:
            continue
        kept[task] = Limits(splits=limits.splits, subsets=subsets)
    if not kept:
        raise StudyError(
            "no task is left after the filters", cure="widen task_types, languages or exclude"
        )
    _check_text(kept)
    return kept


@cache
def beir_datasets() -> Mapping[str, Dataset]:
    """Return the datasets of BEIR on the hub, in BEIR's layout, by name: `scifact`, `trec-covid`."""
    found = (task_datasets(part) for task in _benchmark_tasks("BEIR") for part in task_parts(task))
    return {dataset.name.partition("/")[2]: dataset for (dataset,) in found}


@cache
def beir_tasks() -> Mapping[str, str]:
    """Return mteb's task over the data of each BEIR dataset, by the hub's name and by BEIR's own."""
    parts = (part for task in _benchmark_tasks("BEIR") for part in task_parts(task))
    names = {task_datasets(part)[0].name.partition("/")[2]: part for part in parts}
    return {**names, "dbpedia-entity": names["dbpedia"], "webis-touche2020": names["touche2020"]}


def _chosen(selection: Selection) -> dict[str, Limits]:
    if selection.benchmark is None:
        _check_known(selection.tasks)
        return dict.fromkeys(selection.tasks, Limits())
    members = _benchmark_tasks(selection.benchmark)
    for task in selection.tasks:
        if task not in members:
            raise StudyError(
                f"{task} is not in the benchmark {selection.benchmark}.{did_you_mean(task, members)}",
                cure="`tasks` beside `benchmark` picks some of it; others go into a suite of their own",
            )
    return {task: members[task] for task in selection.tasks or members}


def _benchmark_tasks(name: str) -> dict[str, Limits]:
    names = benchmark_names()
    if name not in names:
        own = ", ".join(named_suites())
        raise StudyError(
            f"no benchmark {name!r}.{did_you_mean(name, names)}",
            cure=f"a benchmark is named as in mteb, such as 'MTEB(eng, v2)' or BEIR, or one of: {own}",
        )
    if name in named_suites():
        return select_tasks(named_suites()[name])
    return {
        task: Limits(splits=_listed(limits, "splits"), subsets=_listed(limits, "subsets"))
        for task, limits in _suites()[names[name]]["tasks"].items()
    }


def _as_tuple(value: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)


def _listed(limits: Mapping[str, Any], field: str) -> tuple[str, ...] | None:
    value = limits.get(field)
    if isinstance(value, dict):
        # All ordered pairs of languages.
        return tuple(f"{a}-{b}" for a in value["pairs"] for b in value["pairs"] if a != b)
    return _as_tuple(value)


def _check_known(tasks: Iterable[str]) -> None:
    known = task_types()
    for task in tasks:
        if task not in known:
            raise StudyError(
                f"no task {task!r}.{did_you_mean(task, known)}",
                cure="a task is named as in mteb, such as SciFact or STSBenchmark",
            )


def _check_text(tasks: Iterable[str]) -> None:
    others = [task for task in tasks if not is_text_task(task)]
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise StudyError(
            f"{', '.join(others[:3])}{more}: not on text alone, and only text is evaluated here",
            cure="leave them out with `exclude` or `task_types`",
        )


def _check_filters(selection: Selection, found: Iterable[str]) -> None:
    tasks = list(found)
    for task in selection.exclude:
        if task not in tasks:
            raise StudyError(f"exclude: {task!r} is not among the tasks.{did_you_mean(task, tasks)}")
    kinds = sorted(set(task_types().values()))
    for kind in selection.task_types:
        if kind not in kinds:
            raise StudyError(
                f"no task type {kind!r}.{did_you_mean(kind, kinds)}",
                cure=f"there are: {', '.join(kinds)}",
            )
    spoken = {
        one for task in tasks for languages in subset_languages(task).values() for one in languages
    }
    for language in selection.languages:
        if not any(_is_spoken(one, (language,)) for one in spoken):
            raise StudyError(
                f"no task has the language {language!r}.{did_you_mean(language, spoken)}",
                cure="a language is an ISO 639-3 code, alone or with its script: eng, eng-Latn",
            )


def _subsets_left(
    task: str, subsets: tuple[str, ...] | None, selection: Selection
) -> tuple[str, ...] | None:
    """Return the subsets that the filters leave, or None where they leave all that there are."""
    is_limited = task == PASSKEY_TASK and selection.max_length is not None
    if not selection.languages and not is_limited:
        return subsets
    languages = subset_languages(task)
    before = tuple(languages) if subsets is None else subsets
    left = tuple(
        subset
        for subset in before
        # As mteb's exclusive language filter: a subset counts where all of its languages are asked for.
        if all(_is_spoken(one, selection.languages) for one in languages.get(subset, ()))
        and (not is_limited or int(subset) <= (selection.max_length or 0))
    )
    return subsets if left == before else left


def _is_spoken(language: str, asked: Sequence[str]) -> bool:
    return not asked or language in asked or language.split("-")[0] in asked


@cache
def _suites() -> dict[str, Any]:
    # Read as a file: the package that it lies in belongs to the readers of results.
    text = resources.files("harness").joinpath("records", "mteb_suites.json").read_bytes()
    suites: dict[str, Any] = json.loads(text)["suites"]
    return suites

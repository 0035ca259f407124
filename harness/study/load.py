"""A study file to a validated `Study`.

Owns the order of the checks and those that span several fields. The rule: whatever can be known to
be wrong before anything runs is refused here, in one message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import StudyError, did_you_mean
from harness.study import catalogue
from harness.study.benchmarks import Limits, Selection, beir_datasets, select_tasks
from harness.study.commitments import Budget, Comparison, resolve_comparisons
from harness.study.document import Base, ResourcePlan, StudyDocument, Suite
from harness.study.profiles import apply_profile
from harness.study.queueing import QueuePolicy
from harness.study.recipe_checks import check_recipes
from harness.study.search import Search
from harness.study.source_checks import check_exists, check_known, check_sources, used_sources
from harness.study.source_text import FieldPath, SourceText, read_source
from harness.study.sources import BbcSource, Source
from harness.study.space import check_search
from harness.study.validation import validate
from harness.study.variants import Variant, expand


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study, checked and resolved: what the plan is made from."""

    name: str
    question: str
    path: Path
    """The file; relative paths in the study are relative to its folder."""
    bases: Mapping[str, Base]
    sources: Mapping[str, Source]
    """Those of the file, and those of the catalogue that are used."""
    suites: Mapping[str, Suite]
    """Each with all of its tasks, also where the file names a benchmark."""
    factors: Mapping[str, tuple[str, ...]]
    """Factor -> its levels, in the file's order."""
    variants: tuple[Variant, ...]
    baseline: str
    """Label of the variant that others are compared with."""
    references: tuple[str, ...]
    resources: ResourcePlan
    search: Search | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """The baseline's recipe as plain values, defaults left out: where a search starts."""
    mirrors: tuple[Path, ...] = ()
    """Folders that stand in for the hub; no part of any result's identity."""
    comparisons: tuple[Comparison, ...] = ()
    """Which rows are compared, and in what else they may differ."""
    budget: Budget = field(default_factory=Budget)
    queue: QueuePolicy = field(default_factory=QueuePolicy)
    limits: Mapping[tuple[str, str], Limits] = field(default_factory=dict)
    """(suite, task) -> the splits and subsets that count, where the suite leaves some out."""

    def resolve_path(self, path: str) -> Path:
        """Return a path of the study file, taken relative to that file's folder."""
        return (self.path.parent / path).resolve()


def find_study(name: str, *, folder: Path = Path("ablations")) -> Path:
    """Return the study file that `name` means: a path, or the name of a file in `ablations/`.

    Raises:
        StudyError: If there is no such file, with the closest name there is.
    """
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        if path.is_file():
            return path
        raise StudyError(f"{path}: no such file", cure=_known_studies(path.stem, folder))
    if (folder / f"{name}.yaml").is_file():
        return folder / f"{name}.yaml"
    raise StudyError(f"no study {name!r}", cure=_known_studies(name, folder))


def _known_studies(name: str, folder: Path) -> str:
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if not known:
        return f"there are no studies in {folder}/; give the path of a YAML file"
    return f"studies in {folder}/: {', '.join(known)}.{did_you_mean(name, known)}"


def load_study(path: Path, *, profile: str | None = None, text: str | None = None) -> Study:
    """Read, check and resolve a study file.

    Args:
        path: The YAML file.
        profile: Name of one of its profiles; none when empty.
        text: The file's text, where another than it has now is meant.

    Raises:
        StudyError: With file, line, field, the value seen, what is allowed and the closest name.
    """
    source = apply_profile(read_source(path, text=text), profile)
    document = validate(StudyDocument, source.data, source)
    _check_bases(document, source)
    check_sources(document, source)
    _check_budget(document, source)
    limits = _resolve_suites(document, source)
    expansion = expand(document, source)
    check_recipes(expansion.variants, document, source)
    check_search(
        document, expansion.recipe, {name: tuple(tasks) for name, tasks in limits.items()}, source
    )
    return Study(
        # A profile may change what is measured: its results must not take the place of the plain ones.
        name=document.name if profile is None else f"{document.name}-{profile}",
        question=" ".join(document.question.split()),
        path=path,
        bases=document.bases,
        sources=used_sources(document, expansion.variants),
        suites={
            name: replace(suite, tasks=tuple(limits[name])) for name, suite in document.suites.items()
        },
        factors=expansion.factors,
        variants=expansion.variants,
        baseline=expansion.baseline,
        references=document.references,
        resources=document.resources,
        search=document.search,
        recipe=expansion.recipe,
        mirrors=tuple((path.parent / mirror).resolve() for mirror in document.mirrors),
        comparisons=resolve_comparisons(document, source),
        budget=document.budget,
        queue=document.queue,
        limits={
            (name, task): limit
            for name, tasks in limits.items()
            for task, limit in tasks.items()
            if limit != Limits()
        },
    )


def _check_budget(document: StudyDocument, source: SourceText) -> None:
    if document.budget.money is not None and document.resources.price_per_gpu_hour is None:
        raise source.error(
            ("budget", "money"),
            "there is no price to hold it against",
            cure="give `resources.price_per_gpu_hour`",
        )


def _check_bases(document: StudyDocument, source: SourceText) -> None:
    for name, base in document.bases.items():
        check_base(base, ("bases", name), source)


def check_base(base: Base, where: FieldPath, source: SourceText) -> None:
    """Refuse a base checkpoint that is not said in full, or whose files are not there.

    Raises:
        StudyError: With file, line and field.
    """
    kinds = [kind for kind in ("hub", "path", "gguf") if getattr(base, kind) is not None]
    if len(kinds) != 1:
        raise source.error(
            where, f"needs exactly one of hub, path and gguf, not {' and '.join(kinds) or 'none'}"
        )
    if base.hub and not base.revision:
        raise source.error(
            where,
            "needs the `revision` of the hub repository",
            cure="take the newest commit on its page",
        )
    if base.revision and not base.hub:
        raise source.error((*where, "revision"), "goes with `hub` only")
    if base.wheel and not base.gguf:
        raise source.error((*where, "wheel"), "goes with `gguf` only")
    if base.path is not None:
        check_exists(f"{base.path}/config.json", (*where, "path"), source)
    elif base.gguf is not None and base.wheel is None:
        check_exists(base.gguf, (*where, "gguf"), source)


# The papers score this one on its development queries; its test split is another collection's.
_BEIR_LIMITS = {"msmarco": Limits(splits=("dev",))}
_FILTERS = ("benchmark", "tasks", "task_types", "languages", "exclude", "max_length")


def _resolve_suites(document: StudyDocument, source: SourceText) -> dict[str, dict[str, Limits]]:
    """Return suite -> its tasks -> what counts of each."""
    return {
        name: _resolve_suite(suite, document, ("suites", name), source)
        for name, suite in document.suites.items()
    }


def _resolve_suite(
    suite: Suite, document: StudyDocument, where: FieldPath, source: SourceText
) -> dict[str, Limits]:
    if suite.source is not None:
        check_known(suite.source, document.sources, "source", (*where, "source"), source)
    if len(set(suite.tasks)) != len(suite.tasks):
        raise source.error((*where, "tasks"), "a task stands twice")
    if not suite.tasks and suite.benchmark is None:
        raise source.error(where, "needs `tasks` or a `benchmark`")
    for index, task in enumerate(suite.tasks):
        _check_task(task, suite, document, (*where, "tasks", index), source)
    if suite.evaluator == "beir":
        for name in (*_FILTERS, "unnormalized"):
            if name != "tasks" and getattr(suite, name):
                raise source.error((*where, name), "goes with the evaluator mteb only")
        return {task: _BEIR_LIMITS.get(task, Limits()) for task in suite.tasks}
    kinds = sorted(set(catalogue.task_types().values()))
    for index, kind in enumerate(suite.unnormalized):
        check_known(kind, kinds, "task type", (*where, "unnormalized", index), source)
    try:
        return select_tasks(Selection(**{name: getattr(suite, name) for name in _FILTERS}))
    except StudyError as error:
        field_name = "benchmark" if suite.benchmark else "tasks"
        raise source.error((*where, field_name), error.message, cure=error.cure) from None


def _check_task(
    task: str, suite: Suite, document: StudyDocument, where: FieldPath, source: SourceText
) -> None:
    data = document.sources[suite.source] if suite.source else None
    if suite.evaluator == "mteb":
        check_known(task, catalogue.task_types(), "task", where, source, list_all=False)
        if task in catalogue.BBC_TASKS and not isinstance(data, BbcSource):
            raise source.error(
                where, f"{task} needs a source of kind bbc", cure="add `source: NAME` to this suite"
            )
        return
    if isinstance(data, BbcSource):
        check_known(task, catalogue.BBC_BEIR_FOLDERS, "BEIR folder", where, source)
    elif suite.folder is None:
        known = beir_datasets()
        if task not in known:
            raise source.error(
                where,
                f"no BEIR dataset {task!r} on the hub.{did_you_mean(task, known)}",
                cure="a beir suite has a `folder` of BEIR-format folders, a source of kind bbc, or the"
                " datasets of the hub by BEIR's names, such as scifact or trec-covid",
            )
    elif "/" in task or task in {"", ".", ".."}:
        raise source.error(where, f"{task!r} is not the name of a folder in {suite.folder}")
    else:
        check_exists(f"{suite.folder}/{task}", where, source)

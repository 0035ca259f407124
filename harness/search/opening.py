"""Opening a search: its storage, its trials, and what earlier searches over other spaces have found.

Owns where a search lies and what it starts with. The rule: a changed space, objective or sampler is
another search; it is told of those trials of the one before it that still fit, their values read anew
from the artifacts, and says how many. Another seed of the sampler is meant to be independent and is told
of nothing; cells are shared all the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from harness.errors import HarnessError
from harness.search.cells import Cells
from harness.search.ledger import SEEDED, Identity, Ledger
from harness.search.sampling import distribution
from harness.search.storage import STORAGE_VARIABLE, is_for_one_driver, open_storage
from harness.study.search import Parameter, Search
from harness.study.space import Scalar, is_active

_INHERITED = "inherited"
"""Attribute of Optuna's study: the earlier search's trials are all here."""


def search_folder(home: Path, study: str) -> Path:
    """Return where the searches of a study keep their files."""
    return home / "search" / study


def storage_url(search: Search, given: str | None = None) -> str | None:
    """Return the URL of the storage: given, or of the environment, or of the study; None for a file."""
    return given or os.environ.get(STORAGE_VARIABLE) or search.storage


def open_ledger(cells: Cells, *, storage: str | None = None, tell: Callable[[str], None]) -> Ledger:
    """Return the trials of a search, for a driver.

    Args:
        cells: The search's variants.
        storage: URL of a database, in the place of the study's.
        tell: Takes a line for people.

    Raises:
        HarnessError: If the storage cannot be used.
    """
    identity = cells.identity()
    root = search_folder(cells.store.home, identity.study)
    url = storage_url(cells.search, storage)
    opened = open_storage(url, root)
    ledger = Ledger(
        identity,
        cells.search,
        storage=opened,
        folder=root / identity.name,
        steps=cells.base.contrastive.steps,
        is_exclusive=cells.search.batch is not None or is_for_one_driver(url),
    )
    _inherit(identity, cells, ledger, opened, tell)
    return ledger


def _inherit(
    identity: Identity, cells: Cells, ledger: Ledger, storage: BaseStorage, tell: Callable[[str], None]
) -> None:
    """Bring over what fits of the search before this one."""
    with ledger.turn():
        if _INHERITED in ledger.study.user_attrs:
            return
        before = _before(identity, storage)
        if before is not None:
            here = {trial.user_attrs.get(SEEDED) for trial in ledger.trials()}
            trials = before.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            fitting = 0
            for trial in trials:
                place = f"{before.study_name} #{trial.number}"
                made = _fitting(trial, cells, place)
                fitting += made is not None
                if made is not None and place not in here:
                    ledger.study.add_trial(made)
            tell(
                f"the search has changed: this is a new one, and {fitting} of {len(trials)} trials of"
                f" {before.study_name} fit; they inform it and do not count as its own"
            )
        ledger.study.set_user_attr(_INHERITED, before.study_name if before is not None else "")


def _before(identity: Identity, storage: BaseStorage) -> optuna.Study | None:
    """Return the newest other search of the same study with the same seed of the sampler."""
    seed = identity.definition["sampler"]["seed"]
    found = []
    for summary in optuna.get_all_study_summaries(storage, include_best_trial=False):
        about = summary.user_attrs.get("harness", {})
        if (
            summary.study_name != identity.name
            and about.get("study") == identity.study
            and about["definition"]["sampler"]["seed"] == seed
        ):
            found.append(
                (summary.datetime_start is not None, summary.datetime_start, summary.study_name)
            )
    started = [(when, name) for has_trials, when, name in found if has_trials and when is not None]
    return optuna.load_study(storage=storage, study_name=max(started)[1]) if started else None


def _fitting(trial: FrozenTrial, cells: Cells, place: str) -> FrozenTrial | None:
    """Return a trial of another space as one of this space; None where it does not fit."""
    space = cells.search.space
    point = _point_within(space, trial.params)
    if point is None:
        return None
    try:
        plan = cells.plan(point)
        (row,) = plan.rows
        if not all(cells.has_scores(member.evaluations.values()) for member in row.members):
            return None
        values = cells.values(plan).values
    except HarnessError:
        return None
    return create_trial(
        params=point,
        distributions={name: distribution(space[name]) for name in point},
        values=list(values),
        user_attrs={SEEDED: place},
    )


def _point_within(
    space: Mapping[str, Parameter], params: Mapping[str, Scalar]
) -> dict[str, Scalar] | None:
    point: dict[str, Scalar] = {}
    for name, parameter in space.items():
        if not is_active(parameter, point):
            continue
        kind = distribution(parameter)
        try:
            if name not in params or not kind._contains(kind.to_internal_repr(params[name])):
                return None
        except (ValueError, TypeError):
            return None
        point[name] = params[name]
    return point

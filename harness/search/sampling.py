"""A space and a sampler, as Optuna has them.

Owns the translation. The rule: a sampler is made anew for every trial with a seed that follows from the
search's own and the trial's number, so that no random state has to outlive a process. What a sampler
remembers lies in the trials.
"""

from __future__ import annotations

import warnings
from typing import Any

import optuna
from optuna import Trial
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import Study

from harness.errors import HarnessError
from harness.identity import derive_seed
from harness.study.search import Choices, FloatRange, Parameter, Search
from harness.study.space import Scalar, is_active, tidy


def distribution(parameter: Parameter) -> BaseDistribution:
    """Return a parameter's range as Optuna has it."""
    if isinstance(parameter, Choices):
        return CategoricalDistribution(parameter.levels)
    if isinstance(parameter, FloatRange):
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
    return IntDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)


def trial_seed(search: Search, number: int) -> int:
    """Return the seed of the sampler that chooses the trial of this number."""
    return derive_seed("search", search.sampler.seed, number) % 2**32


def make_sampler(search: Search, *, seed: int) -> BaseSampler:
    """Return a fresh sampler.

    Raises:
        HarnessError: If it needs a package that is not there.
    """
    settings = search.sampler
    with warnings.catch_warnings():
        # Multivariate TPE is marked as experimental; what a study gets is pinned by constraints.txt.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if settings.kind == "tpe":
            return optuna.samplers.TPESampler(
                seed=seed,
                n_startup_trials=settings.startup_trials,
                multivariate=True,
                # Without groups, parameters under a condition would be drawn apart from the others.
                group=any(parameter.when for parameter in search.space.values()),
                constant_liar=True,
            )
        if settings.kind == "gp":
            return optuna.samplers.GPSampler(
                seed=seed, n_startup_trials=settings.startup_trials, warn_independent_sampling=False
            )
        if settings.kind == "cmaes":
            _check_cmaes()
            return optuna.samplers.CmaEsSampler(
                seed=seed,
                n_startup_trials=max(1, settings.startup_trials),
                warn_independent_sampling=False,
            )
    return optuna.samplers.RandomSampler(seed=seed)


def _check_cmaes() -> None:
    try:
        import cmaes  # noqa: F401
    except ImportError as error:
        raise HarnessError(
            "the sampler cmaes needs the package cmaes", cure="pip install 'embedding-harness[cmaes]'"
        ) from error


def make_pruner(search: Search, *, steps: int) -> BasePruner:
    """Return the pruner.

    Args:
        search: Its settings.
        steps: Optimiser steps of a whole trial.
    """
    settings = search.pruner
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if settings.kind == "median":
            return optuna.pruners.MedianPruner(n_startup_trials=settings.startup_trials)
        if settings.kind == "hyperband":
            return optuna.pruners.HyperbandPruner(
                min_resource=settings.rungs[0],
                max_resource=max(steps, settings.rungs[0]),
                reduction_factor=settings.reduction_factor,
            )
        if settings.kind == "wilcoxon":
            return optuna.pruners.WilcoxonPruner(p_threshold=settings.p_threshold)
    return optuna.pruners.NopPruner()


def suggest(trial: Trial, space: dict[str, Parameter]) -> dict[str, Scalar]:
    """Return the point that a trial's sampler chooses, conditions respected."""
    point: dict[str, Any] = {}
    for name, parameter in space.items():
        if not is_active(parameter, point):
            continue
        if isinstance(parameter, Choices):
            value: Any = trial.suggest_categorical(name, parameter.levels)
        elif isinstance(parameter, FloatRange):
            value = trial.suggest_float(
                name, parameter.low, parameter.high, log=parameter.log, step=parameter.step
            )
        else:
            value = trial.suggest_int(
                name, parameter.low, parameter.high, log=parameter.log, step=parameter.step
            )
        point[name] = tidy(parameter, value)
    return point


def _hand_over(before: BaseSampler, after: BaseSampler) -> None:
    """Let a fresh sampler know which parameters all trials share, as far as the one before had looked.

    It follows from the trials alone, and looking through all of them for each trial takes longer than
    sampling does.
    """
    for name in ("_search_space", "_group_decomposed_search_space", "_intersection_search_space"):
        if type(before) is type(after) and getattr(before, name, None) is not None:
            setattr(after, name, getattr(before, name))


class Shadow:
    """A copy of a search's trials in memory, on which the sampler chooses.

    The sampler may write to it as it likes: what was chosen goes to the storage in one piece.

    Args:
        study: Optuna's study in its storage.
        search: Space and sampler.
        pruner: Some samplers follow the pruner's brackets.
    """

    def __init__(self, study: Study, search: Search, pruner: BasePruner) -> None:
        self._study = study
        self._search = search
        self._copy = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(),
            study_name=study.study_name,
            directions=study.directions,
            pruner=pruner,
        )
        self._known = 0
        self._open: list[int] = []

    def choose(self) -> tuple[dict[str, Scalar], dict[str, Any]]:
        """Return the point of the trial that comes next, and what the sampler keeps beside it."""
        self._follow()
        copy, number = self._copy, self._known
        before, copy.sampler = (
            copy.sampler,
            make_sampler(self._search, seed=trial_seed(self._search, number)),
        )
        _hand_over(before, copy.sampler)
        trial = copy.ask()
        point = suggest(trial, dict(self._search.space))
        for name, value in point.items():
            # The copy must hold what the storage will hold: a restarted driver has nothing else.
            kind = distribution(self._search.space[name])
            copy._storage.set_trial_param(trial._trial_id, name, kind.to_internal_repr(value), kind)
        self._known += 1
        self._open.append(number)
        return point, copy._storage.get_trial(trial._trial_id).system_attrs

    def _follow(self) -> None:
        """Take over what has come to the storage since last time."""
        trials = self._study.get_trials(deepcopy=False)
        storage, place = self._copy._storage, self._copy._study_id
        for trial in trials[self._known :]:
            storage.create_new_trial(place, template_trial=trial)
            if not trial.state.is_finished():
                self._open.append(trial.number)
        self._known = len(trials)
        for number in list(self._open):
            trial = trials[number]
            own = storage.get_trial_id_from_study_id_trial_number(place, number)
            for step, value in trial.intermediate_values.items():
                storage.set_trial_intermediate_value(own, step, value)
            for key, kept in trial.system_attrs.items():
                storage.set_trial_system_attr(own, key, kept)
            if trial.state.is_finished():
                storage.set_trial_state_values(own, trial.state, trial.values)
                self._open.remove(number)

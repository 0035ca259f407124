"""Searching: what the driver costs beside Optuna alone, and whether TPE finds more than chance does.

Run as `make bench`. In the first row trials do nothing but write three artifacts; the time of these
steps is the queue's and is taken off, what is left is the driver's. Its peer is Optuna's own loop with
the same sampler, space and kind of storage. The other row searches a surrogate: a Gaussian process
through the trials of `results/benchmarks/search-trials.json`, which are real trainings and scores of
ablations/temperature-and-rank.yaml (profile `laptop`). A surrogate is smoother than what it stands for
and knows no noise: a gain on it need not be as large in truth.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from scipy import stats

from benchmarks.measure import RESULTS, Row, describe, report
from harness.execution.backends import InProcessBackend
from harness.execution.job import Outcome
from harness.search.sampling import make_sampler, suggest, trial_seed
from harness.study import Study, find_study, load_study
from harness.study.search import Search
from tests.search.fake import FakeStages, edited, make_study, search

NUM_TRIALS = 1000
NUM_SEEDS = 10
NUM_SURROGATE_TRIALS = 40
TRIALS = RESULTS / "search-trials.json"


def main() -> None:
    """Measure and report."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")
    report("search", [_overhead(), *_tpe_against_random()])


def _overhead() -> Row:
    text = edited("trials: 20\n", f"trials: {NUM_TRIALS}\n")
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        study = make_study(Path(folder), text)
        FakeStages().patch(patch)
        backend = _TimedBackend()
        began = time.perf_counter()
        done = search(study, Path(folder) / "home", backend=lambda: backend)
        ours = time.perf_counter() - began - backend.seconds
        if done.states["COMPLETE"] != NUM_TRIALS:
            raise RuntimeError(f"the search did not meet its target: {done.states}")
        peer = _optuna_alone(done.cells.search, Path(folder) / "peer.log")
    return Row(
        name=f"a trial that does nothing, over {NUM_TRIALS} (TPE, journal file); peer: Optuna alone",
        unit="ms/trial",
        ours=round(1000 * ours / NUM_TRIALS, 2),
        peer=round(1000 * peer / NUM_TRIALS, 2),
        ratio=round(peer / ours, 3),
        peak_share=None,
        repeats=1,
        machine=describe(),
    )


class _TimedBackend(InProcessBackend):
    """Adds up the time of the steps themselves."""

    seconds = 0.0

    def wait(self, timeout: float | None = None) -> tuple[str, Outcome] | None:
        began = time.perf_counter()
        heard = super().wait(timeout)
        self.seconds += time.perf_counter() - began
        return heard


def _optuna_alone(space: Search, path: Path) -> float:
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(path))),
        direction="maximize",
        sampler=make_sampler(space, seed=0),
    )
    began = time.perf_counter()
    for _ in range(NUM_TRIALS):
        trial = study.ask()
        suggest(trial, dict(space.space))
        study.tell(trial, 0.5)
    return time.perf_counter() - began


def _tpe_against_random() -> list[Row]:
    study = load_study(find_study("temperature-and-rank"), profile="laptop")
    if study.search is None:
        raise RuntimeError("the study has lost its search")
    surrogate = fit_surrogate(study, json.loads(TRIALS.read_text(encoding="utf-8")))
    found = {
        kind: [_best_found(study.search, surrogate, kind=kind, seed=seed) for seed in range(NUM_SEEDS)]
        for kind in ("tpe", "random")
    }
    gains = np.array(found["tpe"]) - np.array(found["random"])
    half = stats.t.ppf(0.975, NUM_SEEDS - 1) * stats.sem(gains)
    name = (
        f"best of {NUM_SURROGATE_TRIALS} trials on the surrogate, TPE; peer: random; {NUM_SEEDS} seeds;"
        f" mean gain {gains.mean():.5f}, 95% interval {gains.mean() - half:.5f} to"
        f" {gains.mean() + half:.5f}"
    )
    ours, peer = (statistics.fmean(found[kind]) for kind in ("tpe", "random"))
    return [
        Row(
            name=name,
            unit="accuracy",
            ours=round(ours, 5),
            peer=round(peer, 5),
            ratio=round(ours / peer, 5),
            peak_share=None,
            repeats=NUM_SEEDS,
            machine=describe(),
        )
    ]


Surrogate = Callable[[Mapping[str, Any]], float]


def fit_surrogate(study: Study, trials: list[dict[str, Any]]) -> Surrogate:
    """Return the mean of a Gaussian process through recorded trials, over the logarithms of settings."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    names = list(study.search.space) if study.search else []
    points = np.array([[math.log(trial["params"][name]) for name in names] for trial in trials])
    values = np.array([trial["values"][0] for trial in trials])
    middle, spread = points.mean(axis=0), points.std(axis=0)
    kernel = ConstantKernel() * RBF(np.ones(len(names)), (0.3, 30.0)) + WhiteKernel(0.05, (1e-3, 1.0))
    process = GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=4, random_state=0)
    process.fit((points - middle) / spread, values)

    def value(params: Mapping[str, Any]) -> float:
        point = (np.array([math.log(params[name]) for name in names]) - middle) / spread
        return float(process.predict(point[None])[0])

    return value


def _best_found(space: Search, surrogate: Surrogate, *, kind: str, seed: int) -> float:
    settings = replace(space.sampler, kind=kind, seed=seed)  # type: ignore[arg-type]
    own = replace(space, sampler=settings)
    study = optuna.create_study(direction="maximize")
    for number in range(NUM_SURROGATE_TRIALS):
        study.sampler = make_sampler(own, seed=trial_seed(own, number))
        trial = study.ask()
        study.tell(trial, surrogate(suggest(trial, dict(own.space))))
    return float(study.best_value)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()

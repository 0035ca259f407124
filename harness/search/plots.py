"""Optuna's own plots of a search, as pictures that a page can hold.

Owns which plots there are and their form. The rule: equal trials give equal bytes, and what cannot be
drawn yet (importance of two trials) is left out instead of drawn badly.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.importance import FanovaImportanceEvaluator
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from harness.search.results import Noise

MIN_TRIALS = 4
"""Fewer finished trials say nothing of a parameter's importance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One picture."""

    title: str
    caption: str
    picture: str
    """SVG in base64."""


def draw_plots(study: Study, *, names: Sequence[str], noise: Noise | None) -> list[Plot]:
    """Return the plots of a search that can be drawn.

    Args:
        study: Optuna's.
        names: The objectives' texts.
        noise: The seeds' share of the first objective.
    """
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return []
    plots = []
    for place, name in enumerate(names):
        target = None if len(names) == 1 else _nth(place)
        plots += _of_objective(study, name, target, noise if place == 0 else None)
    if 1 < len(names) <= 3:
        caption = "Trials that no other trial beats in every objective, and the others."
        pareto = _draw("plot_pareto_front", study, target_names=list(names))
        plots.append(Plot(title="Pareto front", caption=caption, picture=pareto))
    return plots


def importances(study: Study, target: Callable[[FrozenTrial], float] | None = None) -> dict[str, float]:
    """Return the share of the variance of trial values that each parameter explains (fANOVA).

    Only parameters that every finished trial has are compared; the shares add up to 1.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optuna.importance.get_param_importances(
            study, evaluator=FanovaImportanceEvaluator(seed=0), target=target
        )


def noise_share(study: Study, noise: Noise) -> float:
    """Return the share of the variance of trial values that the training seed alone accounts for."""
    values = [
        trial.values[0] for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    ]
    variance = float(np.var(values))
    return 1.0 if variance == 0 else min(1.0, noise.deviation**2 / variance)


def _of_objective(
    study: Study, name: str, target: Callable[[FrozenTrial], float] | None, noise: Noise | None
) -> list[Plot]:
    given: dict[str, Any] = {"target": target, "target_name": name}
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    of = f" of {name}" if target is not None else ""
    plots = [
        Plot(
            title=f"History{of}",
            caption="Each finished trial, and the best so far.",
            picture=_draw("plot_optimization_history", study, **given),
        )
    ]
    if len(trials) < MIN_TRIALS:
        return plots
    plots.append(
        Plot(
            title=f"Parallel coordinates{of}",
            caption="One line a trial, coloured by its value.",
            picture=_draw("plot_parallel_coordinate", study, **given),
        )
    )
    plots += _importance(study, of, given, noise)
    return plots


def _importance(study: Study, of: str, given: dict[str, Any], noise: Noise | None) -> list[Plot]:
    shared = optuna.search_space.intersection_search_space(
        study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    )
    if not any(not kind.single() for kind in shared.values()):
        return []
    caption = "Share of the variance of trial values that each parameter explains (fANOVA)."
    line = None
    if noise is not None and given["target"] is None:
        line = noise_share(study, noise)
        caption += (
            f" The dashed line is what another training seed explains ({line:.1%}; standard deviation"
            f" {noise.deviation:.2g} with {noise.degrees} degrees of freedom): a shorter bar is no more"
            " than chance."
        )
    elif given["target"] is None:
        caption += " No point was run with several seeds, so that the share of chance is not known."
    evaluator = FanovaImportanceEvaluator(seed=0)
    picture = _draw("plot_param_importances", study, line=line, evaluator=evaluator, **given)
    return [Plot(title=f"Importance{of}", caption=caption, picture=picture)]


def _draw(name: str, study: Study, *, line: float | None = None, **options: Any) -> str:
    import matplotlib as mpl

    with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": "harness", "svg.fonttype": "path"}):
        warnings.simplefilter("ignore")
        mpl.use("agg")
        from matplotlib import pyplot as plt
        from optuna.visualization import matplotlib as plots

        axes = getattr(plots, name)(study, **options)
        if line is not None:
            axes.axvline(line, linestyle="--", color="black", linewidth=1)
        figure = axes.figure
        figure.set_size_inches(9, 4.5)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None}, bbox_inches="tight")
        plt.close("all")
    return base64.b64encode(stream.getvalue()).decode()


def _nth(place: int) -> Callable[[FrozenTrial], float]:
    def value(trial: FrozenTrial) -> float:
        return float(trial.values[place])

    return value

"""The page of a search: one HTML file with Optuna's plots, the best trials and all others.

Owns what its template sees. The rule: the page loads nothing and runs no script, every string is
escaped, and the same trials give the same bytes.
"""

from __future__ import annotations

import os
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from optuna.trial import FrozenTrial, TrialState

from harness.search.cells import Cells
from harness.search.ledger import FAILURE, SEEDED, Ledger
from harness.search.plots import draw_plots
from harness.search.results import best_trials, measure_noise, repeated_values
from harness.study.factors import level_name

PAGE_NAME = "search.html"


def write_page(cells: Cells, ledger: Ledger, folder: Path) -> Path:
    """Write the page into a folder and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / PAGE_NAME
    aside = folder / f".{PAGE_NAME}.{os.getpid()}.tmp"
    aside.write_text(render_search(cells, ledger), encoding="utf-8", newline="\n")
    aside.replace(path)
    return path


def render_search(cells: Cells, ledger: Ledger) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("harness.search"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = [objective.expression for objective in cells.search.objectives]
    trials = ledger.trials()
    noise = measure_noise(cells, ledger)
    style = resources.files("harness.report").joinpath("templates/page.css").read_text(encoding="utf-8")
    return environment.get_template("search.html.j2").render(
        name=cells.study.name,
        question=cells.study.question,
        facts=_facts(cells, trials),
        objectives=names,
        parameters=list(cells.search.space),
        best=[
            {
                "number": trial.number,
                "reached": ", ".join(f"{value:.5g}" for value in trial.values),
                "point": ", ".join(
                    f"{name} = {level_name(value)}" for name, value in trial.params.items()
                ),
            }
            for trial in best_trials(ledger)
        ],
        notes=_notes(cells, ledger),
        plots=draw_plots(ledger.study, names=names, noise=noise),
        rows=[_row(cells, trial) for trial in trials],
        style=Markup(style),  # noqa: S704
    )


def _facts(cells: Cells, trials: list[FrozenTrial]) -> str:
    search = cells.search
    counts = Counter(trial.state.name.lower() for trial in trials)
    states = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    wanted = " and ".join(f"{one.direction} {one.expression}" for one in search.objectives)
    return (
        f"{wanted}; {search.sampler.kind} with seed {search.sampler.seed}; {states or 'no trials'} of"
        f" {search.trials} wanted; training seeds {', '.join(map(str, cells.seeds))}"
    )


def _notes(cells: Cells, ledger: Ledger) -> list[str]:
    notes = []
    for trial in best_trials(ledger)[:1]:
        repeated = repeated_values(cells, trial)
        if repeated:
            values = ", ".join(f"{value:.5g}" for value in repeated)
            notes.append(f"Trial {trial.number} again, with other training seeds: {values}.")
    notes.append(
        "The best of many trials is better than it would be when measured again: it was chosen for being"
        " the best. What it is worth is for the final suites to say."
    )
    return notes


def _row(cells: Cells, trial: FrozenTrial) -> dict[str, Any]:
    note = ""
    if SEEDED in trial.user_attrs:
        note = f"taken over from {trial.user_attrs[SEEDED]}"
    elif FAILURE in trial.user_attrs:
        failure = trial.user_attrs[FAILURE]
        note = f"{failure['kind'].replace('_', ' ')}: {failure['message'].splitlines()[0]}"
    elif trial.state == TrialState.PRUNED and trial.last_step is not None:
        note = f"ended at {trial.last_step}"
    values = trial.values if trial.state == TrialState.COMPLETE and trial.values else []
    blank = [""] * (len(cells.search.objectives) - len(values))
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "numbers": [*(f"{value:.5g}" for value in values), *blank],
        "point": [
            level_name(trial.params[name]) if name in trial.params else "" for name in cells.search.space
        ],
        "note": note,
    }

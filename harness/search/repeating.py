"""The best trial again, with other training seeds.

Owns the repeats at the end of a search. The rule: they are run after the search is over and told to no
sampler; all that they say is how far a value moves by chance.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.execution.overseen import OverseenSession
from harness.execution.session import Session
from harness.search.cells import Cells
from harness.search.ledger import Ledger
from harness.search.results import best_trials, evaluations_of, repeats


def repeat_best(
    cells: Cells, ledger: Ledger, session: Session | OverseenSession, *, tell: Callable[[str], None]
) -> None:
    """Run the best trial with the study's noise seeds, those that have not been run yet."""
    seeds = repeats(cells)
    for trial in best_trials(ledger)[:1]:
        plans = [cells.plan(trial.params, seeds=[seed]) for seed in seeds]
        missing = [plan for plan in plans if not cells.has_scores(evaluations_of(plan))]
        if missing:
            tell(f"repeating trial {trial.number} with {len(missing)} other seeds")
        for plan in missing:
            session.add(plan)
        while not session.is_idle:
            session.advance()

"""The log of what a search asked for: one JSON line a trial, in the order of asking.

Owns `asks.jsonl`. The rule: its lines follow from the trials in the storage, so that a log that a kill
cut short is made whole; no time, host or driver is in it, so that two searches can be compared by bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from optuna.trial import FrozenTrial


def write_asks(path: Path, trials: Sequence[FrozenTrial], *, is_anew: bool = False) -> None:
    """Add the lines of trials to the log, or write it anew with nothing else in it."""
    text = "".join(f"{_line(trial)}\n" for trial in trials)
    if not is_anew:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
        return
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    aside.write_text(text, encoding="utf-8", newline="\n")
    aside.replace(path)


def _line(trial: FrozenTrial) -> str:
    asked = {**trial.user_attrs.get("ask", {})}
    if "seeded_from" in trial.user_attrs:
        asked["seeded_from"] = trial.user_attrs["seeded_from"]
    return json.dumps({"trial": trial.number, **asked, "params": trial.params}, ensure_ascii=False)

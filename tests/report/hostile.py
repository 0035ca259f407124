"""A study whose every string tries to be markup."""

from __future__ import annotations

from dataclasses import replace

from msgspec import structs

from harness.records.schema import Record
from harness.records.summary import StudySummary
from tests.tables.fake_study import make_records, make_summary

EVIL = (
    "<script>alert('x')</script> \"><img src=x onerror=y> {{ 7 * 7 }} | `a` *b* _c_ [d](http://e) "
    "& 100% $f$ #g ~h ^i \\j {k}\n\u4e2d"
)


def make_hostile() -> tuple[StudySummary, list[Record]]:
    """Return the fake study with hostile names, labels, levels, settings, reasons and versions."""
    study = make_summary()
    names = {task: f"{task}{EVIL}" for suite in study.suites for task in suite.tasks}
    rows = [
        replace(
            row,
            label=f"{row.label}{EVIL}",
            levels={f"{name}{EVIL}": f"{level}{EVIL}" for name, level in row.levels.items()},
        )
        for row in study.rows
    ]
    summary = replace(
        study,
        name=f"{study.name}{EVIL}",
        question=EVIL,
        factors={
            f"{name}{EVIL}": tuple(f"{one}{EVIL}" for one in levels)
            for name, levels in study.factors.items()
        },
        baseline=f"{study.baseline}{EVIL}",
        rows=tuple(rows),
        suites=tuple(
            replace(suite, name=f"{suite.name}{EVIL}", tasks=tuple(names[task] for task in suite.tasks))
            for suite in study.suites
        ),
        settings={f"a.{EVIL}": EVIL, EVIL: EVIL},
    )
    records = []
    for one in make_records():
        hurt = structs.replace(
            one,
            suite=f"{one.suite}{EVIL}",
            task=names[one.task],
            metric=f"{one.metric}{EVIL}",
            evaluator=EVIL,
            versions={"torch": EVIL},
            reason=EVIL if one.state != "ok" else "",
        )
        if one.variant == "on-paragraphs-s0" and one.task == "bbc-headlines":
            hurt = structs.replace(hurt, value=None, state="failed", reason=EVIL)
        records.append(hurt)
    return summary, records

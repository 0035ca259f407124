"""From the artifacts of an overlap plan to the file that lies beside a study's records.

Owns `collect_overlap`. The rule: what could not be compared is named with its reason, never counted as
clean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import TypeAdapter

from harness.data.overlap_settings import Settings
from harness.execution.store import ArtifactStore
from harness.identity.canonical import to_plain
from harness.plan.overlap import OverlapPlan
from harness.records.overlap import Finding, Overlap
from harness.stages.overlap import RESULT_NAME

_FINDING = TypeAdapter(Finding)


def collect_overlap(
    compared: OverlapPlan,
    store: ArtifactStore,
    *,
    settings: Settings,
    leaked_share: float,
    failures: Mapping[str, str] | None = None,
) -> Overlap:
    """Return what was found for a study.

    Args:
        compared: The study's overlap plan.
        store: Where its artifacts are.
        settings: What it was made with.
        leaked_share: Share of one kind of a task's texts from which it counts as leaked.
        failures: Fingerprint of a failed step -> why, of the run that has just ended.
    """
    failed = failures or {}
    findings: list[Finding] = []
    missing: dict[str, str] = {}
    for (pairs, task), names in compared.steps.items():
        for name in names:
            if store.has("overlap", name):
                text = (store.fetch("overlap", name) / RESULT_NAME).read_text(encoding="utf-8")
                whose = {"pairs": pairs, "task": task}
                findings += [_FINDING.validate_python({**one, **whose}) for one in json.loads(text)]
            else:
                lineage = compared.plan.lineage(name)
                reasons = (failed[one] for one in lineage if one in failed)
                missing[task] = next(reasons, "not compared yet").splitlines()[0]
    return Overlap(
        settings=to_plain(settings),
        leaked_share=leaked_share,
        trained_on=dict(compared.trained_on),
        in_domain=dict(compared.in_domain),
        findings=tuple(findings),
        missing=missing,
    )

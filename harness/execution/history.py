"""What earlier steps took, for forecasts.

Owns the reading of durations and sizes from the artifacts' records. The rule: of many records a sample
is read, the same one every time; fingerprints are evenly spread, so the first of them are a fair one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from harness.errors import StoreError
from harness.execution.artifact_record import ArtifactRecord
from harness.execution.store import ArtifactStore
from harness.identity.provenance import DEVICE
from harness.plan.costs import Recorded
from harness.plan.past import Past
from harness.plan.work import Surroundings

_MOST_A_STAGE = 100
_MODEL_STAGES = ("base", "reconstruct", "contrast")


def recorded_steps(store: ArtifactStore, stages: Iterable[str]) -> list[Recorded]:
    """Return finished steps of some stages, at most a hundred of each, with what they stood on."""
    reader = _Reader(store)
    return [
        Recorded(
            stage=stage,
            config=record.payload["config"],
            around=reader.surroundings(stage, record),
            seconds=record.wall_seconds,
            num_bytes=sum(record.sizes.values()),
            is_on_gpu=DEVICE in record.machine,
        )
        for stage in sorted(set(stages))
        for name in sorted(store.touched([stage]))[:_MOST_A_STAGE]
        if (record := reader.find(stage, name)) is not None
    ]


def past_of(store: ArtifactStore) -> Past:
    """Return every step that the store has an artifact of; damaged records are left out."""
    payloads = {}
    names = store.names()
    # One listing a stage says more than a question an artifact.
    store.touched({stage for stage, _ in names})
    for stage, name in names:
        try:
            payloads[name] = json.loads(store.record_text(stage, name) or b"")["payload"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return Past(payloads=payloads)


class _Reader:
    """Reads each record once."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._records: dict[tuple[str, str], ArtifactRecord | None] = {}

    def find(self, stage: str, name: str) -> ArtifactRecord | None:
        """Return the record of an artifact; None for a damaged one, which says nothing."""
        if (stage, name) not in self._records:
            try:
                self._records[stage, name] = self._store.find(stage, name)
            except StoreError:
                self._records[stage, name] = None
        return self._records[stage, name]

    def surroundings(self, stage: str, record: ArtifactRecord) -> Surroundings:
        """Return the base and the source behind a finished step, as far as they are still there."""
        inputs = record.payload["inputs"]
        source = self.find("source", inputs["source"]) if "source" in inputs else None
        base, of_stage = record, stage
        while of_stage != "base" and "model" in base.payload["inputs"]:
            name = base.payload["inputs"]["model"]
            kinds = ((self.find(kind, name), kind) for kind in _MODEL_STAGES)
            found = next(((one, kind) for one, kind in kinds if one is not None), None)
            if found is None:
                break
            base, of_stage = found
        is_known = of_stage == "base"
        return Surroundings(
            base=base.payload["config"] if is_known else None,
            base_path=str(self._store.folder("base", base.fingerprint)) if is_known else "",
            source=source.payload["config"] if source is not None else None,
        )

"""A small study with everything that makes tables hard: seeds, references, gaps and unequal versions."""

from __future__ import annotations

import random
from collections.abc import Iterator

from msgspec import structs

from harness.records.schema import Record
from harness.records.summary import Member, RowSummary, StudySummary, SuiteSummary

NEWS = {
    "BBCHeadlineRetrieval": ("Retrieval", "ndcg_at_10", 0.71, 400),
    "BBCTopicClassification": ("Classification", "accuracy", 0.83, 400),
    "BBCTopicClustering": ("Clustering", "v_measure", 0.46, 400),
}
VERSIONS = {"mteb": "2.26.24", "python": "3.11.9", "torch": "2.14.0", "transformers": "5.23.1"}
LIFT = {("off", "headlines"): 0.0, ("on", "headlines"): 0.021, ("off", "paragraphs"): 0.012}
SEEDS = {("off", "headlines"): (0, 1), ("on", "headlines"): (0, 1)}
BM25_REASON = "BM25 ranks documents and has no embedding to classify or cluster"


def label(reconstruction: str, pairs: str) -> str:
    return f"reconstruction={reconstruction}, pairs={pairs}"


def make_summary() -> StudySummary:
    """Return two factors of two levels, two of the rows with two seeds, and two references."""
    rows = [
        RowSummary(
            label=label(reconstruction, pairs),
            levels={"reconstruction": reconstruction, "pairs": pairs},
            members=tuple(
                Member(
                    slug=f"{reconstruction}-{pairs}-s{seed}",
                    revision=f"{reconstruction}{pairs}{seed}",
                    seed=seed,
                )
                for seed in SEEDS.get((reconstruction, pairs), (0,))
            ),
        )
        for reconstruction in ("off", "on")
        for pairs in ("headlines", "paragraphs")
    ]
    rows.extend(
        RowSummary(
            label=name,
            levels={},
            role="reference",
            members=(Member(slug=name.lower(), revision=revision, seed=None),),
        )
        for name, revision in (("untrained", "base0"), ("BM25", ""))
    )
    return StudySummary(
        name="reconstruction-news",
        question="Does reconstruction before contrastive training help on news, whatever the pairs are?",
        factors={"reconstruction": ("off", "on"), "pairs": ("headlines", "paragraphs")},
        baseline=label("off", "headlines"),
        rows=tuple(rows),
        suites=(
            SuiteSummary(name="news", evaluator="mteb", tasks=tuple(NEWS)),
            SuiteSummary(name="news-beir", evaluator="beir", tasks=("bbc-headlines",)),
        ),
        settings={"base": "smollm2-135m, 6 layers", "contrastive steps": "60", "batch size": "32"},
    )


def make_records() -> list[Record]:
    """Return the records of `make_summary`, whole but for what does not apply to BM25."""
    draw = random.Random(7)
    return [record for row in make_summary().rows for record in _row_records(row, draw)]


def _row_records(row: RowSummary, draw: random.Random) -> Iterator[Record]:
    levels = (row.levels.get("reconstruction", ""), row.levels.get("pairs", ""))
    lift = LIFT.get(levels, 0.039 if row.role == "variant" else -0.11)
    for member in row.members:
        shift = lift + draw.gauss(0, 0.004)
        for task, (kind, metric, level, num) in NEWS.items():
            record = Record(
                variant=member.slug,
                revision=member.revision,
                seed=member.seed,
                suite="news",
                task=task,
                task_type=kind,
                split="test",
                subset="default",
                languages=("eng-Latn",),
                metric=metric,
                value=level + shift + draw.gauss(0, 0.004),
                num_queries=num,
                dataset_revision="bbc1",
                evaluator="mteb 2.26.24",
                versions=VERSIONS,
                wall_seconds=draw.uniform(1, 9),
            )
            if member.slug == "bm25" and kind != "Retrieval":
                yield structs.replace(record, value=None, state="not_applicable", reason=BM25_REASON)
                continue
            yield structs.replace(record, value=0.664) if member.slug == "bm25" else record
            if kind == "Retrieval":
                value = 0.664 if member.slug == "bm25" else record.value
                beir = structs.replace(
                    record, suite="news-beir", task="bbc-headlines", evaluator="beir 2.2.0"
                )
                yield structs.replace(beir, value=value)
                yield structs.replace(record, metric="recall_at_10", value=0.9, is_main=False)

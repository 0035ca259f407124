"""Mirrors for the tests of parity: real datasets cut short, made-up ones where there is no real one."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.evaluation.folders import WORDS, read_packed, search_data, sentence, write_lines, write_readme

Row = Mapping[str, Any]


def trim(source: Path, target: Path, *, rows: int, languages: Sequence[str] = ()) -> None:
    """Copy a dataset with the first rows of each of its files, or of each language named in `lang`."""
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.name == "README.md":
            copy.write_bytes(path.read_bytes())
        elif path.name.endswith(".jsonl.gz"):
            found = read_packed(path)
            groups = [[row for row in found if row["lang"] == one] for one in languages] or [found]
            _write_packed(copy, [row for group in groups for row in group[:rows]])


def trim_search(source: Path, target: Path, *, queries: int, documents: int, split: str) -> None:
    """Copy a retrieval dataset with some queries, what is judged for them, and some documents more."""
    judged = read_packed(source / "qrels" / f"{split}.jsonl.gz")
    asked = list(dict.fromkeys(str(row["query-id"]) for row in judged))[:queries]
    judged = [row for row in judged if str(row["query-id"]) in asked]
    corpus = read_packed(source / "corpus.jsonl.gz")
    wanted = {str(row["corpus-id"]) for row in judged} | {_name(row) for row in corpus[:documents]}
    texts = read_packed(source / "queries.jsonl.gz")
    _write_packed(target / "corpus.jsonl.gz", [row for row in corpus if _name(row) in wanted])
    _write_packed(target / "queries.jsonl.gz", [row for row in texts if _name(row) in asked])
    _write_packed(target / "qrels" / f"{split}.jsonl.gz", judged)
    lines = [f"{row['query-id']}\t{row['corpus-id']}\t{int(row['score'])}" for row in judged]
    content = "\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n"
    (target / "qrels" / f"{split}.tsv").write_text(content, encoding="utf-8")
    write_readme(
        target,
        {
            "corpus": {"corpus": "corpus.jsonl.gz"},
            "queries": {"queries": "queries.jsonl.gz"},
            "default": {split: f"qrels/{split}.jsonl.gz"},
        },
    )


def _name(row: Row) -> str:
    return str(row["_id"] if "_id" in row else row["id"])


def write_multilabel(mirror: Path) -> None:
    """Write a set that CEDRClassification loads: the words of the labels are in the text."""
    rng = random.Random(4)
    folder = mirror / "mteb" / "CEDRClassification"
    for split in ("train", "test"):
        rows = []
        for _ in range(80):
            labels = sorted(rng.sample(range(5), rng.randint(1, 2)))
            words = " ".join(WORDS[label] for label in labels for _ in range(3))
            rows.append({"text": f"{sentence(rng)} {words}", "label": labels})
        write_lines(folder / f"{split}.jsonl", rows)
    write_readme(folder, {"default": {"train": "train.jsonl", "test": "test.jsonl"}})


def write_regression(mirror: Path) -> None:
    """Write a set that RuSciBenchYearPublRegression loads: the number is how often a word stands."""
    rng = random.Random(5)
    folder = mirror / "mlsa-iai-msu-lab" / "ru_sci_bench_mteb"
    configs = ("yearpubl_ru", "yearpubl_en")
    for config in configs:
        for split in ("train", "test"):
            numbers = [rng.randint(0, 6) for _ in range(60)]
            rows = [{"text": f"{sentence(rng, 5)} {'river ' * n}", "value": float(n)} for n in numbers]
            write_lines(folder / config / f"{split}.jsonl", rows)
    files = ("train", "test")
    write_readme(
        folder,
        {config: {split: f"{config}/{split}.jsonl" for split in files} for config in configs},
    )


def write_reranking(folder: Path) -> None:
    """Write a reranking set: each query has some candidates, right ones among them."""
    corpus, queries, judged = search_data(documents=60, queries=10)
    _write_configs(folder, corpus, queries, judged, top_ranked=_candidates(corpus, queries, judged))


def write_instructed_reranking(folder: Path) -> None:
    """Write a set that Core17InstructionRetrieval loads: a changed instruction makes answers wrong."""
    corpus, queries, judged = search_data(documents=60, queries=10)
    kinds = ("og", "changed")
    asked = [{**row, "_id": f"{row['_id']}-{kind}"} for row in queries for kind in kinds]
    right = [
        {**row, "query-id": f"{row['query-id']}-{kind}"}
        for row in judged
        for kind in kinds
        if kind == "og" or row["score"] == 2
    ]
    ranked = [
        {**row, "query-id": f"{row['query-id']}-{kind}"}
        for row in _candidates(corpus, queries, judged)
        for kind in kinds
    ]
    wrong = [
        {"query-id": row["query-id"], "corpus-ids": [row["corpus-id"]]}
        for row in judged
        if row["score"] == 1
    ]
    more: dict[str, Sequence[Row]] = {
        "top_ranked": ranked,
        "instruction": _instructions(asked),
        "qrel_diff": wrong,
    }
    _write_configs(folder, corpus, asked, right, **more)


def write_instructed_search(folder: Path) -> None:
    """Write a set that InstructIR loads: three instructions a question, and all documents to search."""
    corpus, queries, judged = search_data(documents=40, queries=6)
    asked = [{**row, "_id": f"{row['_id']}_{n}"} for row in queries for n in range(3)]
    right = [{**row, "query-id": f"{row['query-id']}_{n}"} for row in judged for n in range(3)]
    _write_configs(folder, corpus, asked, right, instruction=_instructions(asked))


def _candidates(corpus: Sequence[Row], queries: Sequence[Row], judged: Sequence[Row]) -> list[Row]:
    rng = random.Random(6)
    found: list[Row] = []
    for row in queries:
        right = {one["corpus-id"] for one in judged if one["query-id"] == row["_id"]}
        others = {document["_id"] for document in rng.sample(list(corpus), 6)}
        found.append({"query-id": row["_id"], "corpus-ids": sorted(right | others)})
    return found


def _instructions(queries: Sequence[Row]) -> list[Row]:
    rng = random.Random(7)
    return [
        {"query-id": row["_id"], "instruction": f"Nothing about {rng.choice(WORDS)}."} for row in queries
    ]


def _write_configs(
    folder: Path,
    corpus: Sequence[Row],
    queries: Sequence[Row],
    judged: Sequence[Row],
    **more: Sequence[Row],
) -> None:
    files = {"corpus": corpus, "queries": queries, "default": judged, **more}
    for name, rows in files.items():
        write_lines(folder / f"{name}.jsonl", rows)
    splits = {"qrel_diff": "qrel_diff"}
    write_readme(folder, {name: {splits.get(name, "test"): f"{name}.jsonl"} for name in files})


def _write_packed(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)

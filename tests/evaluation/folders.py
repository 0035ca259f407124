"""Small datasets under the names of stock mteb tasks, and BEIR folders."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

WORDS = (
    *(
        "river",
        "bridge",
        "engine",
        "violin",
        "harbour",
        "winter",
        "market",
        "doctor",
        "garden",
        "signal",
    ),
    *(
        "paper",
        "forest",
        "copper",
        "window",
        "island",
        "teacher",
        "planet",
        "ticket",
        "blanket",
        "mirror",
    ),
)


def sentence(rng: random.Random, length: int = 8) -> str:
    """Return some random words."""
    return " ".join(rng.choice(WORDS) for _ in range(length))


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_readme(folder: Path, configs: Mapping[str, Mapping[str, str]]) -> None:
    """Write the README that declares configs: config -> split -> file."""
    declared = [
        {
            "config_name": name,
            "data_files": [{"split": split, "path": path} for split, path in files.items()],
        }
        for name, files in configs.items()
    ]
    folder.mkdir(parents=True, exist_ok=True)
    header = yaml.safe_dump({"configs": declared})
    (folder / "README.md").write_text(f"---\n{header}---\n", encoding="utf-8")


def write_sts(mirror: Path, *, rows: int = 40) -> None:
    """Write a set that STSBenchmark loads."""
    rng = random.Random(1)
    pairs = []
    for _ in range(rows):
        first = sentence(rng)
        shared = rng.randint(0, 8)
        second = " ".join(first.split()[:shared] + sentence(rng).split()[shared:])
        pairs.append({"sentence1": first, "sentence2": second, "score": shared * 5 / 8})
    folder = mirror / "mteb" / "stsbenchmark-sts"
    write_lines(folder / "test.jsonl", pairs)
    write_readme(folder, {"default": {"test": "test.jsonl"}})


def write_banking(mirror: Path, *, labels: int = 4, rows: int = 80) -> None:
    """Write a set that Banking77Classification loads: the label's word is in the text."""
    rng = random.Random(2)
    folder = mirror / "mteb" / "banking77"
    for split in ("train", "test"):
        kinds = [rng.randrange(labels) for _ in range(rows)]
        texts = [f"{sentence(rng)} {WORDS[kind]} {WORDS[kind]}" for kind in kinds]
        rows_of_split = [
            {"text": text, "label": kind, "label_text": WORDS[kind]}
            for text, kind in zip(texts, kinds, strict=True)
        ]
        write_lines(folder / f"{split}.jsonl", rows_of_split)
    write_readme(folder, {"default": {"train": "train.jsonl", "test": "test.jsonl"}})


def search_data(
    *, documents: int = 60, queries: int = 12, copies: int = 10
) -> tuple[list[dict[str, str]], list[dict[str, str]], list[dict[str, Any]]]:
    """Return corpus, queries and judgements, with copied documents so that scores tie."""
    rng = random.Random(3)
    corpus = [
        {"_id": f"d{number}", "title": sentence(rng, 2), "text": sentence(rng, 12)}
        for number in range(documents)
    ]
    for number in range(copies):
        corpus.append({**corpus[number], "_id": f"d{documents + number}"})
    asked = [
        {"_id": f"q{number}", "text": " ".join(corpus[number * 3]["text"].split()[:4])}
        for number in range(queries)
    ]
    judged = [
        {"query-id": f"q{number}", "corpus-id": f"d{number * 3 + extra}", "score": 2 - extra}
        for number in range(queries)
        for extra in (0, 1)
    ]
    return corpus, asked, judged


def write_scifact(mirror: Path, **sizes: int) -> None:
    """Write a set that SciFact loads."""
    corpus, queries, judged = search_data(**sizes)
    folder = mirror / "mteb" / "scifact"
    write_lines(folder / "corpus.jsonl", corpus)
    write_lines(folder / "queries.jsonl", queries)
    write_lines(folder / "qrels.jsonl", judged)
    write_readme(
        folder,
        {
            "corpus": {"corpus": "corpus.jsonl"},
            "queries": {"queries": "queries.jsonl"},
            "default": {"test": "qrels.jsonl"},
        },
    )


def write_beir_folder(
    folder: Path,
    corpus: Iterable[Mapping[str, Any]],
    queries: Iterable[Mapping[str, Any]],
    judged: Iterable[Mapping[str, Any]],
) -> None:
    """Write corpus.jsonl, queries.jsonl and qrels/test.tsv."""
    write_lines(folder / "corpus.jsonl", corpus)
    write_lines(folder / "queries.jsonl", queries)
    lines = [f"{row['query-id']}\t{row['corpus-id']}\t{int(row['score'])}" for row in judged]
    (folder / "qrels").mkdir(exist_ok=True)
    text = "\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n"
    (folder / "qrels" / "test.tsv").write_text(text, encoding="utf-8")


def read_packed(path: Path) -> list[dict[str, Any]]:
    """Read gzipped JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def pack(folder: Path, *, keep: bool = False) -> None:
    """Pack every JSON lines and TSV file below a folder, in its place or beside it."""
    for path in [*folder.rglob("*.jsonl"), *folder.rglob("*.tsv")]:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        if not keep:
            path.unlink()

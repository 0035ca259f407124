"""Evaluation datasets on disk, in the two layouts that evaluators read.

Owns the writing of a folder in the layout of a Hugging Face dataset (a `README.md` with YAML
configs beside JSON lines, as mteb's tasks load it) and of one in BEIR's layout. The rule: both are
the same bytes for the same content. Reading and scoring them is `harness.evaluation`'s affair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.data.pairs import write_json_lines

Relevant = Mapping[str, Mapping[str, int]]
"""Query id -> document id -> grade."""


def write_retrieval(
    folder: Path,
    *,
    corpus: Mapping[str, str],
    queries: Mapping[str, str],
    relevant: Relevant,
    split: str,
) -> None:
    """Write a retrieval dataset with the configs `corpus`, `queries` and `default` (the judgements)."""
    write_json_lines(folder / "corpus.jsonl", _texts(corpus))
    write_json_lines(folder / "queries.jsonl", _texts(queries))
    write_json_lines(
        folder / "qrels" / f"{split}.jsonl",
        (
            {"query-id": query, "corpus-id": document, "score": grade}
            for query, grades in relevant.items()
            for document, grade in grades.items()
        ),
    )
    _write_readme(
        folder,
        {
            "corpus": {split: "corpus.jsonl"},
            "queries": {split: "queries.jsonl"},
            "default": {split: f"qrels/{split}.jsonl"},
        },
    )


def write_labelled(folder: Path, splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write a dataset of one config whose rows are the mappings of each split."""
    for split, rows in splits.items():
        write_json_lines(folder / f"{split}.jsonl", rows)
    _write_readme(folder, {"default": {split: f"{split}.jsonl" for split in splits}})


def write_beir(
    folder: Path,
    *,
    corpus: Mapping[str, str],
    queries: Mapping[str, str],
    relevant: Relevant,
    split: str,
) -> None:
    """Write a retrieval dataset as BEIR's `GenericDataLoader` reads it."""
    # BEIR joins title and text, and trips over a document without a title field.
    write_json_lines(folder / "corpus.jsonl", ({**row, "title": ""} for row in _texts(corpus)))
    write_json_lines(folder / "queries.jsonl", _texts(queries))
    lines = ["query-id\tcorpus-id\tscore"]
    for query, grades in relevant.items():
        lines += [f"{query}\t{document}\t{grade}" for document, grade in grades.items()]
    qrels = folder / "qrels" / f"{split}.tsv"
    qrels.parent.mkdir(parents=True, exist_ok=True)
    qrels.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _texts(texts: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"_id": identifier, "text": text} for identifier, text in texts.items()]


def _write_readme(folder: Path, configs: Mapping[str, Mapping[str, str]]) -> None:
    blocks = [
        {
            "config_name": name,
            "data_files": [{"split": split, "path": path} for split, path in files.items()],
        }
        for name, files in configs.items()
    ]
    text = yaml.safe_dump({"configs": blocks}, sort_keys=False)
    (folder / "README.md").write_text(f"---\n{text}---\n", encoding="utf-8")

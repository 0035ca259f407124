"""The result as a folder: a source for studies, with where it comes from.

Owns the files of a finished run. The rule: `data.jsonl` is in the layout that a study's `sources:` take,
each file is there whole or not at all, `provenance.json` is written last and holds the SHA-256 of the
data, and no key and no path is in any of them.

    data.jsonl         query, positive, negatives, dataset (the kind) and instruction (the task), a line
    each origins.jsonl      for each of those lines: draw, languages, placeholder values, the request's
    key drops.jsonl        every draw that is not in the data, with the reason tasks.jsonl        the
    tasks of the first step requests.jsonl     every attempt and answer; a later run in the folder goes
    on from it provenance.json    model, server, prompts, parameters, versions, date, counts
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.data.pairs import plain_pair, write_json_lines
from harness.identity import file_sha256
from harness.identity.provenance import package_versions
from harness.identity.replacing import replace_file
from harness.synthesis.draws import Draw
from harness.synthesis.generate import Result
from harness.synthesis.load import Specification
from harness.synthesis.messages import Request, example_request, model_name

DATA = "data.jsonl"
PROVENANCE = "provenance.json"
_LIBRARIES = ("datasketch", "llguidance", "openai", "py3langid", "tenacity")


def publish(
    specification: Specification,
    result: Result,
    counted: Mapping[str, Any],
    folder: Path,
    *,
    backend: Mapping[str, str],
    date: str,
) -> dict[str, Any]:
    """Write the files of a run, and return its provenance.

    Args:
        specification: What was wanted.
        result: What came.
        counted: Its statistics.
        folder: The run's folder.
        backend: What the backend says of itself.
        date: UTC time of the end, ISO 8601.
    """
    (folder / PROVENANCE).unlink(missing_ok=True)
    instructions = specification.prompts.document.instructions
    pairs = [one.pair(instructions.get(one.draw.kind, "")) for one in result.kept]
    replace_file(folder / DATA, lambda path: write_json_lines(path, map(plain_pair, pairs)))
    origins = [
        {**_describe(one.draw), "key": _key(specification, one.draw, one.task)} for one in result.kept
    ]
    replace_file(folder / "origins.jsonl", lambda path: write_json_lines(path, origins))
    drops = [{**_describe(drop.draw), "key": drop.key, **asdict(drop.refused)} for drop in result.drops]
    replace_file(folder / "drops.jsonl", lambda path: write_json_lines(path, drops))
    provenance = _provenance(specification, result, counted, backend=backend, date=date)
    provenance["data"] = {"pairs": len(pairs), "sha256": file_sha256(folder / DATA)}
    text = json.dumps(provenance, indent=1, ensure_ascii=False) + "\n"
    replace_file(folder / PROVENANCE, lambda path: _write(path, text))
    return provenance


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _key(specification: Specification, one: Draw, task: str | None) -> str:
    request: Request = example_request(specification, one, task)
    return request.key


def _describe(one: Draw) -> dict[str, Any]:
    second = {"target": one.target} if one.target else {}
    return {
        "draw": one.index,
        "kind": one.kind,
        "language": one.language,
        **second,
        "values": one.values,
    }


def _provenance(
    specification: Specification,
    result: Result,
    counted: Mapping[str, Any],
    *,
    backend: Mapping[str, str],
    date: str,
) -> dict[str, Any]:
    document = specification.document
    return {
        "name": specification.name,
        "method": "two-step synthesis (arXiv 2401.00368, section 3)",
        "date": date,
        "complete": not result.stopped,
        "stopped": result.stopped,
        "model": model_name(specification),
        "served_by": list(result.served_by),
        "server": dict(backend),
        "prompts": {
            "version": specification.prompts.document.version,
            "sha256": specification.prompts.sha256,
        },
        "parameters": {
            "size": document.size,
            "seed": document.seed,
            "sampling": asdict(document.sampling),
            "brainstorm": asdict(document.brainstorm),
            "gates": asdict(document.gates),
            "values": {name: list(values) for name, values in document.values.items()},
        },
        "identity": specification.identity,
        "books": dict(result.books),
        "counts": dict(counted),
        "versions": {**package_versions(), **{name: metadata.version(name) for name in _LIBRARIES}},
    }

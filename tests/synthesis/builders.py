"""Small specifications for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from harness.synthesis.generate import Result, generate
from harness.synthesis.load import Specification, load_specification
from harness.synthesis.openai_backend import OpenAIServer


def write(folder: Path, url: str = "http://127.0.0.1:9/v1", **fields: Any) -> Path:
    """Write a synthesis file whose `fields` take the place of a small one's."""
    document: dict[str, Any] = {
        "name": "small",
        "size": 12,
        "backend": {"kind": "openai", "base_url": url, "model": "m"},
        "languages": {"en": 1, "de": 1},
        "kinds": {"short-long": 2, "long-short": 1, "sts": 1},
        "gates": {"language": False, "near_duplicates": None},
        "brainstorm": {"tasks_per_reply": 3},
        "limits": {"concurrency": 4, "timeout_seconds": 20, "attempts": 3},
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**document, **fields}), encoding="utf-8")
    return path


def small(folder: Path, url: str = "http://127.0.0.1:9/v1", **fields: Any) -> Specification:
    """Return a small specification."""
    return load_specification(write(folder, url, **fields))


def run(specification: Specification, folder: Path) -> Result:
    """Run it against its server, never waiting between attempts."""
    backend = specification.document.backend
    server = OpenAIServer(backend, specification.document.limits)  # type: ignore[arg-type]
    return generate(specification, server, folder, sleep=lambda _seconds: None)

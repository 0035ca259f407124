"""`harness schema`: the JSON Schema of study files."""

from __future__ import annotations

from harness.cli.options import JsonOption, print_json
from harness.study.json_schema import study_json_schema


def command(json: JsonOption = True) -> None:  # noqa: ARG001 - the schema is JSON either way
    """Print the JSON Schema of study files, for editors that check YAML while you type.

    Example: `harness schema > study.schema.json`
    """
    print_json(study_json_schema())

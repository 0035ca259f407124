"""The JSON Schema of study files, for editors that complete and check YAML.

Owns nothing but the rendering: fields, types and texts come from the declarations in `document` and
`recipe`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import TypeAdapter

from harness.study.document import StudyDocument
from harness.study.recipe import STRICT, Recipe


def study_json_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12) that a study file meets."""
    with _texts_of_fields():
        schema = TypeAdapter(StudyDocument).json_schema()
        recipe = TypeAdapter(Recipe).json_schema()
    definitions = {**schema.pop("$defs", {}), **recipe.pop("$defs", {})}
    for definition in (recipe, *(definitions[name] for name in _SECTIONS)):
        # A study's recipe may leave a field to a factor; the resolved variants are checked in full.
        definition.pop("required", None)
    description = schema["properties"]["recipe"].get("description", "")
    definitions["Recipe"] = recipe
    schema["properties"]["recipe"] = {"$ref": "#/$defs/Recipe", "description": description}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "harness study",
        **schema,
        "$defs": definitions,
    }


@contextmanager
def _texts_of_fields() -> Iterator[None]:
    """Let pydantic read the texts below fields, which are in the source files alone and slow to find."""
    STRICT["use_attribute_docstrings"] = True
    try:
        yield
    finally:
        STRICT["use_attribute_docstrings"] = False


_SECTIONS = ("ModelConfig", "DataConfig")

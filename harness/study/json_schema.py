"""The JSON Schema of study files, for editors that complete and check YAML.

Owns nothing but the rendering: fields, types and texts come from the declarations in `document` and
`recipe`.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from harness.study.document import StudyDocument
from harness.study.recipe import Recipe


def study_json_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12) that a study file meets."""
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


_SECTIONS = ("ModelConfig", "DataConfig")

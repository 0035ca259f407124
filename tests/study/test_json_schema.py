"""The printed JSON Schema accepts the shipped studies and refuses what the loader refuses."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from harness.study.json_schema import study_json_schema
from harness.study.source_text import read_source
from tests.conftest import REPOSITORY

STUDIES = sorted((REPOSITORY / "ablations").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_shipped_studies_meet_the_schema(path: Path) -> None:
    schema = study_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(read_source(path).data, schema)


def test_the_schema_refuses_an_unknown_recipe_field() -> None:
    data = read_source(STUDIES[0]).data
    data["recipe"]["model"]["num_layer"] = 3
    with pytest.raises(jsonschema.ValidationError, match="num_layer"):
        jsonschema.validate(data, study_json_schema())


def test_every_field_says_what_it_means() -> None:
    recipe = study_json_schema()["$defs"]["Recipe"]
    assert recipe["properties"]["seed"]["description"]


def test_the_schema_that_editors_read_is_current() -> None:
    """Made by `harness schema > ablations/study.schema.json`."""
    path = REPOSITORY / "ablations" / "study.schema.json"
    assert json.loads(path.read_text()) == study_json_schema()

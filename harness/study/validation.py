"""Plain values to typed objects, with errors that name file, line, field and cure.

Owns the translation of pydantic's findings into this project's messages. The rule: one message, the
place in the user's own file, the value seen, what is allowed, and the closest allowed name.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Annotated, Any, TypeVar, Union

from pydantic import TypeAdapter, ValidationError

from harness.errors import StudyError, did_you_mean
from harness.study.source_text import FieldPath, SourceText, dotted

T = TypeVar("T")

_MAX_SHOWN = 5


def validate(kind: type[T], data: Any, source: SourceText, *, below: FieldPath = ()) -> T:
    """Return `data` as a `kind`.

    Args:
        kind: The dataclass to validate into.
        data: Plain values.
        source: The file they come from.
        below: Field path of `data` inside the file.

    Raises:
        StudyError: Naming every fault (at most five) with file, line, field and cure.
    """
    try:
        return _adapter(kind).validate_python(data)
    except ValidationError as error:
        raise describe(error, kind, data, source, below=below) from None


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def describe(
    error: ValidationError, kind: Any, data: Any, source: SourceText, *, below: FieldPath = ()
) -> StudyError:
    """Return pydantic's findings as one `StudyError`."""
    found = _without_consequences(error.errors(include_url=False, include_context=True))
    lines = []
    for item in found[:_MAX_SHOWN]:
        where = _path_in_data(item["loc"], data)
        problem = _problem(item, where, kind)
        lines.append(source.error((*below, *where), problem).message)
    if len(found) > _MAX_SHOWN:
        lines.append(f"... and {len(found) - _MAX_SHOWN} more")
    return StudyError("\n".join(lines), cure="`harness schema` lists every field and its type")


def _without_consequences(found: list[Any]) -> list[Any]:
    """Leave out lists that are too short because of what is wrong with their items."""
    places = [item["loc"] for item in found]

    def follows(item: Any) -> bool:
        where = item["loc"]
        inner = (place for place in places if len(place) > len(where))
        return item["type"] == "too_short" and any(place[: len(where)] == where for place in inner)

    return [item for item in found if not follows(item)]


def _path_in_data(location: tuple[int | str, ...], data: Any) -> FieldPath:
    """Drop the union tags that pydantic puts between the parts of a location."""
    where: list[str | int] = []
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if isinstance(data, dict) and isinstance(part, str) and (part in data or last):
            where.append(part)
            data = data.get(part)
        elif isinstance(data, (list, tuple)) and isinstance(part, int) and part < len(data):
            where.append(part)
            data = data[part]
    return tuple(where)


def _problem(item: Any, where: FieldPath, kind: Any) -> str:
    seen = item.get("input")
    if item["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        allowed = allowed_fields(kind, where[:-1])
        name = str(where[-1])
        return f"unknown field; allowed here: {', '.join(allowed)}.{did_you_mean(name, allowed)}"
    if item["type"] in {"missing", "missing_argument", "missing_keyword_only_argument"}:
        return "this field is required and missing"
    if item["type"] == "literal_error":
        expected = item["ctx"]["expected"]
        choices = [choice.strip(" '") for choice in expected.replace(" or ", ",").split(",")]
        return f"{seen!r} is not one of {expected}.{did_you_mean(str(seen), choices)}"
    if item["type"] == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in item["ctx"]["expected_tags"].split(",")]
        named, tag = item["ctx"]["discriminator"].strip("'"), str(item["ctx"]["tag"])
        return f"{named}: {tag!r} is not one of {', '.join(tags)}.{did_you_mean(tag, tags)}"
    if item["type"] == "string_pattern_mismatch":
        return f"{seen!r} does not match {item['ctx']['pattern']}"
    if item["type"] == "value_error":
        # Raised by our own types, which say what is wrong in full.
        return str(item["ctx"]["error"])
    return f"{_expected(item)}, not {_show(seen)}"


_KINDS = {"tuple_type": "a list", "list_type": "a list", "bool_type": "true or false"}
_KINDS |= dict.fromkeys(("dict_type", "dataclass_type"), "a mapping of fields to values")


def _expected(item: Any) -> str:
    """Return what should be there, in the words of YAML."""
    if item["type"] in _KINDS:
        return f"needs {_KINDS[item['type']]}"
    if item["type"] == "too_short":
        return f"needs {item['ctx']['min_length']} or more"
    if item["type"] == "union_tag_not_found":
        return f"needs a field {item['ctx']['discriminator']}, which says what the others are"
    message: str = item["msg"]
    return message[0].lower() + message[1:]


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def allowed_fields(kind: Any, where: FieldPath) -> list[str]:
    """Return the field names that `kind` allows at `where`, in declared order."""
    kinds = [kind]
    for part in where:
        kinds = [inner for outer in kinds for inner in _inner_types(outer, part)]
    names: dict[str, None] = {}
    for outer in kinds:
        for option in _options(outer):
            if dataclasses.is_dataclass(option):
                names.update(dict.fromkeys(f.name for f in dataclasses.fields(option)))
    return list(names)


def _inner_types(kind: Any, part: str | int) -> list[Any]:
    found = []
    for option in _options(kind):
        if dataclasses.is_dataclass(option) and isinstance(option, type):
            hints = typing.get_type_hints(option, include_extras=True)
            if part in hints:
                found.append(hints[str(part)])
        elif typing.get_origin(option) is dict:
            found.append(typing.get_args(option)[1])
        elif typing.get_origin(option) is tuple:
            found.append(typing.get_args(option)[0])
    return found


def _options(kind: Any) -> list[Any]:
    """Unwrap `Annotated` and unions to the types that they offer."""
    if typing.get_origin(kind) is Annotated:
        return _options(typing.get_args(kind)[0])
    if typing.get_origin(kind) in {Union, types.UnionType}:
        return [option for member in typing.get_args(kind) for option in _options(member)]
    return [kind]


__all__ = ["allowed_fields", "describe", "dotted", "validate"]

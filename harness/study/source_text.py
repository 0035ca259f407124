"""YAML text to plain values, with the line of every key and item.

Owns reading: the safe subset of YAML 1.2 that studies use, and the marks that let every later
error name a line. The rule: nothing is guessed. `on` and `off` are words, `1e-4` is a number, and a
key that stands twice is an error instead of a silent overwrite.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import StudyError

FieldPath = tuple[str | int, ...]
_MOST_VALUES = 200_000
"""Of one file. Aliases of aliases make a short file as long as one likes."""


class _Loader(yaml.SafeLoader):
    """The safe loader with YAML 1.2's booleans and numbers (PyYAML follows 1.1)."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rsplit(":", 1)[1] in {"null", "merge"}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$"), list("tf"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceText:
    """The plain values of one YAML file and where each stands."""

    path: Path
    data: dict[str, Any]
    lines: dict[FieldPath, int]
    """Field path -> line, counted from 1."""

    def line_of(self, where: FieldPath) -> int:
        """Return the line of `where`, or of the nearest enclosing field that has one."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)

    def error(self, where: FieldPath, problem: str, *, cure: str = "") -> StudyError:
        """Return an error that names file, line and field; the caller raises it."""
        name = dotted(where)
        return StudyError(
            f"{self.path}:{self.line_of(where)}: {name + ': ' if name else ''}{problem}", cure=cure
        )


def dotted(where: FieldPath) -> str:
    """Return a field path as people write it: `suites.news.tasks[0]`."""
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text


def read_source(path: Path, *, text: str | None = None) -> SourceText:
    """Read a YAML file whose top level is a mapping.

    Args:
        path: The file.
        text: Its text, where that is not the one that it has now.

    Raises:
        StudyError: If the file is missing, unreadable, not YAML, or holds a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8") if text is None else text
    except FileNotFoundError as error:
        raise StudyError(
            f"{path}: no such file", cure="give a YAML file, or the name of one in ablations/"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: cannot be read: {error}") from error
    lines: dict[FieldPath, int] = {}
    data = _parse(text, path, lines)
    if not isinstance(data, dict):
        raise StudyError(
            f"{path}:1: needs a mapping of fields, this file holds {_describe(data)}",
            cure="see ablations/quickstart.yaml for an example and `harness schema` for every field",
        )
    return SourceText(path=path, data=data, lines=lines)


def _parse(text: str, path: Path, lines: dict[FieldPath, int]) -> Any:
    """Return the plain values of a YAML text, and note the line of each."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            return _convert(loader, node, (), lines, path) if node is not None else None
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise StudyError(
            f"{path}:{line}: not YAML: a character that no text has, {chr(error.character)!r}"
        ) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise StudyError(f"{path}:{line}: not YAML: {error.problem or error.context}") from error
    except RecursionError as error:
        raise StudyError(
            f"{path}: nested too deeply, or an alias (`*name`) stands within what it names"
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise StudyError(f"{path}: not YAML: {error}") from error


def _convert(
    loader: _Loader, node: yaml.Node, where: FieldPath, lines: dict[FieldPath, int], path: Path
) -> Any:
    lines.setdefault(where, node.start_mark.line + 1)
    if len(lines) > _MOST_VALUES:
        raise StudyError(
            f"{path}: more than {_MOST_VALUES:,} values",
            cure="aliases (`*name`) stand for all that they name: do not nest them",
        )
    if isinstance(node, yaml.MappingNode):
        return _convert_mapping(loader, node, where, lines, path)
    if isinstance(node, yaml.SequenceNode):
        return [_convert(loader, item, (*where, i), lines, path) for i, item in enumerate(node.value)]
    return loader.construct_object(node)


def _convert_mapping(
    loader: _Loader, node: yaml.MappingNode, where: FieldPath, lines: dict[FieldPath, int], path: Path
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise StudyError(f"{path}:{line}: a field's name must be a plain word")
        key = key_node.value
        if key == "<<":
            raise StudyError(
                f"{path}:{line}: fields are not merged with `<<`",
                cure="write them out, or name the whole with an alias: `weak_data: *data`",
            )
        if key in result:
            raise StudyError(
                f"{path}:{line}: {dotted((*where, key))} stands twice, "
                f"first on line {lines[*where, key]}",
                cure="remove one of the two or give it another name",
            )
        lines[*where, key] = line
        result[key] = _convert(loader, value_node, (*where, key), lines, path)
    return result


def _describe(data: Any) -> str:
    return "nothing" if data is None else f"a {type(data).__name__}"

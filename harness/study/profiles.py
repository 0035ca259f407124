"""Profiles: named sets of overrides on a study file, such as `laptop` and `cluster`.

Owns their resolution. The rule: a profile changes fields that a study may have, by dotted path, and
may build on another profile; a circle of profiles is an error.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from harness.errors import did_you_mean
from harness.study.document import StudyDocument
from harness.study.source_text import FieldPath, SourceText

EXTENDS = "extends"


def apply_profile(
    source: SourceText, profile: str | None, *, document: type = StudyDocument
) -> SourceText:
    """Return `source` with the overrides of `profile` applied, its bases first.

    Overridden fields keep the line on which the profile sets them.

    Args:
        source: The file.
        profile: Name of the profile; none when empty.
        document: The dataclass of the file's fields.

    Raises:
        StudyError: For an unknown profile, a circle, or a path that no study has.
    """
    profiles = source.data.get("profiles") or {}
    if not isinstance(profiles, dict):
        raise source.error(("profiles",), f"is a mapping of profiles, not {profiles!r}")
    for name in profiles:
        _chain(source, profiles, name)
    if profile is None:
        return source
    if profile not in profiles:
        known = ", ".join(sorted(profiles)) or "none"
        raise source.error(
            ("profiles",),
            f"no profile {profile!r}; this file has: {known}.{did_you_mean(profile, profiles)}",
        )
    fixed = {"name", "question", "profiles"}
    overridable = [field.name for field in dataclasses.fields(document) if field.name not in fixed]
    data = copy.deepcopy(source.data)
    lines = dict(source.lines)
    for name in _chain(source, profiles, profile):
        for path, value in profiles[name].items():
            if path == EXTENDS:
                continue
            where: FieldPath = ("profiles", name, path)
            target = tuple(path.split("."))
            if target[0] not in overridable:
                raise source.error(
                    where,
                    f"a profile cannot set {target[0]!r}; it can set: {', '.join(overridable)}."
                    f"{did_you_mean(target[0], overridable)}",
                )
            set_path(data, target, copy.deepcopy(value))
            lines[target] = source.line_of(where)
    return dataclasses.replace(source, data=data, lines=lines)


def _chain(source: SourceText, profiles: dict[str, Any], name: str) -> list[str]:
    """Return `name` and the profiles that it builds on, the most basic first."""
    chain: list[str] = []
    while True:
        where: FieldPath = ("profiles", name)
        if name in chain:
            circle = " -> ".join([*chain[chain.index(name) :], name])
            raise source.error((*where, EXTENDS), f"profiles extend each other in a circle: {circle}")
        if not isinstance(profiles.get(name), dict):
            raise source.error(where, "a profile is a mapping of dotted field paths to values")
        chain.append(name)
        following = profiles[name].get(EXTENDS)
        if following is None:
            return chain[::-1]
        if not isinstance(following, str) or following not in profiles:
            raise source.error(
                (*where, EXTENDS),
                f"no profile {following!r}; this study has: {', '.join(sorted(profiles))}."
                f"{did_you_mean(str(following), profiles)}",
            )
        name = following


def set_path(data: dict[str, Any], path: FieldPath, value: Any) -> None:
    """Set the field at `path`, making the mappings on the way that are not there yet."""
    for part in path[:-1]:
        inner = data.get(str(part))
        if not isinstance(inner, dict):
            inner = {}
            data[str(part)] = inner
        data = inner
    data[str(path[-1])] = value

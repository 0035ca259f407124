"""Training pairs out of installed Python packages: what a function is for, and its code.

Owns the walk over a package's files. The rule: nothing is imported or run, only parsed; the pairs
follow from the packages' versions alone, in the order of their files; a function is taken if its
docstring opens with a sentence of some words and its code is more than a stub.
"""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from harness.data.pairs import Pair
from harness.errors import DataError
from harness.study.source_checks import STDLIB

_MIN_WORDS = 4
_MIN_LINES = 3
"""Lines of code, the signature included and the docstring not."""
_MAX_CHARACTERS = 4000


def read_docstrings(packages: Sequence[str]) -> Iterator[Pair]:
    """Yield the pairs of some installed distributions, one dataset each.

    Args:
        packages: Names of distributions, or `stdlib`.

    Raises:
        DataError: When one is not installed or holds no such function.
    """
    for package in packages:
        num_pairs = 0
        for path in _files(package):
            for pair in _of_file(path, package):
                num_pairs += 1
                yield pair
        if num_pairs == 0:
            raise DataError(
                f"the package {package!r} holds no function with a docstring",
                cure="Choose packages whose code is Python.",
            )


def _files(package: str) -> list[Path]:
    if package == STDLIB:
        root = Path(sysconfig.get_path("stdlib"))
        parts = ("site-packages", "dist-packages", "test", "tests", "idlelib")
        return sorted(
            path for path in root.rglob("*.py") if not set(path.relative_to(root).parts) & set(parts)
        )
    try:
        listed = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        raise DataError(
            f"the package {package!r} is not installed", cure=f"pip install {package}"
        ) from None
    return sorted(
        Path(str(file.locate()))
        for file in listed
        if file.suffix == ".py" and not {"test", "tests"} & set(file.parts)
    )


def _of_file(path: Path, package: str) -> Iterator[Pair]:
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        # Packages carry templates and files for other versions of Python.
        return
    lines = text.splitlines()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            pair = _of_function(node, lines, package)
            if pair is not None:
                yield pair


def _of_function(
    node: ast.FunctionDef | ast.AsyncFunctionDef, lines: Sequence[str], package: str
) -> Pair | None:
    docstring = ast.get_docstring(node)
    if not docstring or len(node.body) < 2:
        return None
    query = " ".join(docstring.split("\n\n", 1)[0].split())
    stated, last = node.body[0], node.end_lineno or node.lineno
    code = [
        *lines[node.lineno - 1 : stated.lineno - 1],
        *lines[stated.end_lineno or stated.lineno : last],
    ]
    positive = "\n".join(code)
    is_long_enough = len(query.split()) >= _MIN_WORDS and len(code) >= _MIN_LINES
    if not is_long_enough or len(positive) > _MAX_CHARACTERS:
        return None
    return Pair(query=query, positive=positive, dataset=package)

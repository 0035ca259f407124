"""Expressions over suites, tasks and measures, as in `mean(dev.SciFact, dev.NFCorpus)`.

Owns their small language and its evaluation. The rule: an expression is numbers, names, `+ - * /` and
`mean`, `min`, `max`, and nothing else; every name is checked when the study is read. A suite's name
stands for the mean over its tasks, as in tables; names that are no words are written in quotes:
`'news-beir/bbc-headlines'`.
"""

from __future__ import annotations

import ast
import operator
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import did_you_mean

MEASURES = ("parameters", "seconds", "gpu_hours")
"""Costs of a trial: numbers that were trained, seconds of training, and these times `resources.gpus`."""

Cell = tuple[str, str]
"""Suite and task."""
_Value = Callable[[Callable[[Cell], float], Mapping[str, float]], float]

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_FUNCTIONS: dict[str, Callable[[Iterable[float]], float]] = {
    "mean": statistics.fmean,
    "min": min,
    "max": max,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A checked expression."""

    text: str
    cells: tuple[Cell, ...]
    """The cells that it reads, each once."""
    measures: tuple[str, ...]
    """The measures that it reads."""
    value: _Value

    def evaluate(self, score: Callable[[Cell], float], measures: Mapping[str, float]) -> float:
        """Return its value.

        Args:
            score: Gives the score of a cell, as tables have it.
            measures: The trial's costs.

        Raises:
            ZeroDivisionError: If it divides by a score of 0.
        """
        return self.value(score, measures)


def parse_expression(text: str, suites: Mapping[str, Sequence[str]]) -> Expression:
    """Return the expression that `text` is.

    Args:
        text: What a study says.
        suites: Suite -> its tasks.

    Raises:
        ValueError: For what is not of the language, and for names that there are not.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(
            f"{text!r} is no expression; an example: mean(dev.SciFact, dev.NFCorpus)"
        ) from error
    reader = _Reader(suites)
    value = reader.read(tree.body)
    return Expression(
        text=text.strip(), cells=tuple(reader.cells), measures=tuple(reader.measures), value=value
    )


class _Reader:
    """Reads one expression and notes what it is about."""

    def __init__(self, suites: Mapping[str, Sequence[str]]) -> None:
        self._suites = suites
        self.cells: dict[Cell, None] = {}
        self.measures: dict[str, None] = {}

    def read(self, node: ast.expr) -> _Value:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            suite, _, task = node.value.partition("/")
            return self._task(suite, task) if task else self._name(suite)
        if isinstance(node, ast.Constant) and type(node.value) in {int, float}:
            number = float(node.value)  # type: ignore[arg-type]
            return lambda *_: number
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return self._task(node.value.id, node.attr)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _combine(_OPERATORS[type(node.op)], self.read(node.left), self.read(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            inner = self.read(node.operand)
            return lambda *given: -inner(*given)
        if isinstance(node, ast.Call) and node.args and not node.keywords:
            return self._call(node)
        raise ValueError(
            f"{ast.unparse(node)!r} is not of the language: names, numbers, + - * /, "
            f"{', '.join(_FUNCTIONS)}"
        )

    def _call(self, node: ast.Call) -> _Value:
        name = ast.unparse(node.func)
        if name not in _FUNCTIONS:
            raise ValueError(f"no function {name!r}; there are: {', '.join(_FUNCTIONS)}")
        function, parts = _FUNCTIONS[name], [self.read(part) for part in node.args]
        return lambda *given: function([part(*given) for part in parts])

    def _name(self, name: str) -> _Value:
        if name in self._suites:
            parts = [self._task(name, task) for task in self._suites[name]]
            return lambda *given: statistics.fmean([part(*given) for part in parts])
        if name in MEASURES:
            self.measures[name] = None
            return lambda _, measures: measures[name]
        known = [*self._suites, *MEASURES]
        raise ValueError(
            f"no suite or measure {name!r}; there are: {', '.join(known)}.{did_you_mean(name, known)}"
        )

    def _task(self, suite: str, task: str) -> _Value:
        if suite not in self._suites:
            raise ValueError(
                f"no suite {suite!r}; there are: {', '.join(self._suites)}."
                f"{did_you_mean(suite, self._suites)}"
            )
        tasks = self._suites[suite]
        if task not in tasks:
            raise ValueError(f"suite {suite!r} has no task {task!r}.{did_you_mean(task, tasks)}")
        self.cells[suite, task] = None
        return lambda score, _: score((suite, task))


def _combine(operation: Callable[[float, float], float], left: _Value, right: _Value) -> _Value:
    def value(*given: Any) -> float:
        return operation(left(*given), right(*given))

    return value

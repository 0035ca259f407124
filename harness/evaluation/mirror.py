"""Evaluation data from folders instead of a hub.

Owns `use_mirrors`, under which every dataset that mteb asks for by its hub name `<org>/<name>` is read
from `<root>/<org>/<name>`. The rule: with a mirror given, nothing is fetched over the network, and a
dataset that no mirror has is an error that names it, never another dataset or a stale copy; nor is a
file read whose hash is not the one in the mirror's manifest. All tasks
load their data through one function of `datasets`, which is where the name is looked up, so tasks with
loaders of their own are covered too. Filling a mirror is left to others.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import datasets
import datasets.config
import datasets.inspect
import datasets.load
import huggingface_hub.constants
from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

from harness.data.mirrors import check_repository, digest_of, find_repository
from harness.errors import AbsentDataError, DataError
from harness.identity import fingerprint

_OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


@contextmanager
def use_mirrors(roots: Sequence[Path]) -> Iterator[None]:
    """Read datasets from `roots`, the first that has one wins; without roots nothing changes.

    The effect is on the whole process and ends with the block.

    Raises:
        DataError: If a root is not a folder; inside the block, if a dataset is in none of them.
    """
    folders = [_checked(root) for root in roots]
    if not folders:
        yield
        return
    factory = functools.partial(_load_module, folders, datasets.load.dataset_module_factory)
    with ExitStack() as stack:
        for name, value in _OFFLINE.items():
            _set_variable(stack, name, value)
        # The variables are read at import, long before this block.
        _set_attribute(stack, huggingface_hub.constants, "HF_HUB_OFFLINE", value=True)
        _set_attribute(stack, datasets.config, "HF_HUB_OFFLINE", value=True)
        _set_attribute(stack, datasets.config, "HF_DATASETS_OFFLINE", value=True)
        for module in (datasets.load, datasets.inspect):
            _set_attribute(stack, module, "dataset_module_factory", value=factory)
        yield


def find_dataset(name: str, roots: Sequence[Path]) -> Path | None:
    """Return the folder of the dataset `<org>/<name>` in the first root that has it, or None."""
    found = find_repository(name, roots)
    return found[1] if found else None


def _checked(root: Path) -> Path:
    # Absolute, because the block may change the working directory.
    folder = root.expanduser().absolute()
    if not folder.is_dir():
        raise DataError(
            f"mirror {root} is not a folder",
            cure="a mirror is a folder that holds <org>/<name>/ for every dataset of a hub",
        )
    if not any(folder.glob("*/*/")):
        raise DataError(
            f"mirror {root} holds no dataset",
            cure="a mirror holds <org>/<name>/ for every dataset of a hub, such as mteb/scifact/",
        )
    return folder


def _load_module(
    roots: Sequence[Path], original: Callable[..., Any], path: str, *args: Any, **kwargs: Any
) -> Any:
    """Stand in for `datasets.load.dataset_module_factory(path, ...)`."""
    if path in _PACKAGED_DATASETS_MODULES or Path(path).is_absolute():
        return original(path, *args, **kwargs)
    found = find_repository(path, roots)
    if found is None:
        places = ", ".join(str(root) for root in roots)
        raise AbsentDataError(
            f"dataset {path} is not in the mirror ({places})",
            cure=f"put the files of the Hugging Face dataset {path} into <mirror>/{path}/,"
            " or leave --mirror out to fetch it",
        )
    root, folder = found
    check_repository(root, path)
    module = original(str(folder), *args, **kwargs)
    # `datasets` keeps prepared copies under the folder's name and settings alone: another folder of the
    # same name, or an edited file, would silently be read from the copy of the first.
    return dataclasses.replace(module, hash=_content_hash(folder))


def _content_hash(folder: Path) -> str:
    """Return a hash of the folder's files, computed again only when one of them was touched."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return fingerprint({path.relative_to(folder).as_posix(): digest_of(path) for path in files})[:32]


def _set_attribute(stack: ExitStack, holder: Any, name: str, *, value: Any) -> None:
    stack.callback(setattr, holder, name, getattr(holder, name))
    setattr(holder, name, value)


def _set_variable(stack: ExitStack, name: str, value: str) -> None:
    before = os.environ.get(name)
    if before is None:
        stack.callback(os.environ.pop, name, None)
    else:
        stack.callback(os.environ.__setitem__, name, before)
    os.environ[name] = value

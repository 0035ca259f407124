"""What MODEL means for the verbs that look at one model.

Owns the search: a folder or file, a variant in the store, a name on the hub, in this order. The rule:
what is found nowhere is answered with what MODEL may be. How a model is opened is `harness.models`'
affair.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.errors import HarnessError
from harness.execution.homes import open_store

if TYPE_CHECKING:
    from harness.models.network import Network

_FINGERPRINT = re.compile(r"(?:^|-)([0-9a-f]{12,64})$")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def find_model(
    model: str,
    *,
    device: str,
    template: Literal["plain", "chat"],
    revision: str,
    mirrors: Sequence[Path],
    home: Path | None,
) -> Callable[[], Network]:
    """Return what opens a model.

    Args:
        model: Folder, GGUF file, slug or fingerprint of a variant, or name on the hub.
        device: `auto`, `cpu`, `cuda` or a device of torch's.
        template: How the texts of a base are framed; a model folder knows it itself.
        revision: Of a model on the hub.
        mirrors: Folders that stand in for the hub.
        home: The store; the usual one when None.

    Raises:
        HarnessError: When there is no such model; names what can be given.
    """
    from harness.models.folder import MANIFEST
    from harness.models.hub import resolve_hub

    path = Path(model)
    folder = path if path.exists() else _in_store(model, home)
    if folder is not None and (folder / MANIFEST).is_file():
        return partial(_open_folder, folder, device=device)
    opened = partial(_open_base, device=device, template=template)
    if folder is not None and (folder / "config.json").is_file():
        return partial(opened, folder, None)
    if path.is_file() and path.suffix == ".gguf":
        return partial(opened, path.parent, path.name)
    if folder is None and _HUB_NAME.fullmatch(model):
        return partial(opened, resolve_hub(model, revision, mirrors=mirrors), None)
    raise HarnessError(
        f"{model!r} is no model: neither a model's folder nor a GGUF file nor a variant in the store",
        cure="Give a folder with config.json, a .gguf file, a variant's slug, or org/name of the hub.",
    )


def _in_store(model: str, home: Path | None) -> Path | None:
    """Return the artifact whose fingerprint a slug ends in or begins with."""
    found = _FINGERPRINT.search(model)
    if found is None:
        return None
    store = open_store(home)
    steps = (step for step in store.names() if step[1].startswith(found.group(1)))
    return next((store.fetch(stage, name) for stage, name in steps), None)


def _open_folder(folder: Path, *, device: str) -> Network:
    from transformers import AutoConfig

    from harness.models.architecture import is_encoder
    from harness.models.network import load_network

    settings = AutoConfig.from_pretrained(folder, local_files_only=True)
    return load_network(folder, device=device, with_head=not is_encoder(settings))


def _open_base(
    folder: Path, gguf: str | None, *, device: str, template: Literal["plain", "chat"]
) -> Network:
    from harness.models.bases import open_base, usual_length
    from harness.models.network import resolve_device
    from harness.study.recipe import ModelConfig, PromptConfig

    config = ModelConfig(
        base=Path(gguf).stem if gguf else folder.name,
        template=template,
        max_length=usual_length(folder, gguf),
    )
    network = open_base(config=config, prompts=PromptConfig(), checkpoint=folder, gguf=gguf)
    network.whole.to(resolve_device(device))
    return network

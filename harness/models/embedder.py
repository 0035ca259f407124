"""The Embedder: a trained model as a function from texts to unit vectors.

Owns encoding. The rule: rows come back in the order of the input, in float32, normalised unless asked
otherwise, and a text gets the same vector whatever it was batched with. Prompts are given in full by the
caller; what is done with the vectors is `harness.evaluation`'s affair. Where the device allows it, a
text's vector has the same bits in any company (`invariance`), and `arithmetic` says on what they depend.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch

from harness.errors import ProbeError
from harness.models.budget import Budget, plan_budget
from harness.models.folder import weights_id
from harness.models.forward import Rows
from harness.models.fused_decoder import Beginning
from harness.models.inference import Inference, shares
from harness.models.merging import merge_adapter
from harness.models.network import Network, load_network
from harness.models.packing import token_batches
from harness.models.probes import probe_stored
from harness.study.recipe import ModelConfig, PromptConfig


class Embedder:
    """A model folder in memory, ready to encode.

    Args:
        network: The loaded model.
        folder: Where it was loaded from.
    """

    def __init__(self, network: Network, folder: Path) -> None:
        self._network = network
        self._folder = folder
        self._inference = Inference(network)
        self.num_tokens = 0
        """Tokens of the texts encoded so far, repeated texts not counted."""

    @classmethod
    def load(cls, folder: Path, *, device: str = "auto", threads: int | None = None) -> Embedder:
        """Load a model folder and check it against its stored probe embeddings.

        Args:
            folder: A model folder written by the harness.
            device: `auto`, `cpu`, `cuda` or a device of torch's.
            threads: Threads of torch in this process; left as they are when None.

        Raises:
            DataError: When the folder cannot be loaded.
            ProbeError: When the loaded model gives other vectors than the one that was saved.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        network = load_network(folder, device=device)
        probe_stored(network)
        return cls(_merged(network, folder), folder)

    @property
    def dimension(self) -> int:
        """Width of the vectors."""
        return self._network.dimension

    @property
    def max_length(self) -> int:
        """Tokens a text, the anchor included."""
        return self._network.config.max_length

    @property
    def config(self) -> ModelConfig:
        """Which network this is."""
        return self._network.config

    @property
    def prompts(self) -> PromptConfig:
        """The prompts the model was trained with."""
        return self._network.prompts

    @cached_property
    def weights_id(self) -> str:
        """SHA-256 of everything that decides a vector, apart from `max_length` and the text."""
        return weights_id(self._folder)

    @property
    def arithmetic(self) -> str:
        """What decides a vector's last bits besides the model and the text.

        Empty where they depend on the texts that are encoded with it, too.
        """
        return self._inference.arithmetic

    @cached_property
    def _budget(self) -> Budget:
        return plan_budget(self._network.decoder)

    @torch.inference_mode()
    def encode(
        self,
        texts: Sequence[str],
        *,
        prompt: str = "",
        batch_tokens: int | None = None,
        normalize: bool = True,
    ) -> np.ndarray:
        """Encode texts.

        Args:
            texts: Any texts; a repeated one is encoded once.
            prompt: Put before every text as it is. What it does to a text is computed once, where the
                model allows it, so last bits may differ from those of texts that hold it themselves.
            batch_tokens: Tokens a forward pass; as many as suit the device when None. Halved when memory
                runs out.
            normalize: Whether the vectors get length one.

        Returns:
            Vectors [texts, dimension], float32, in the order of `texts`.

        Raises:
            HarnessError: When memory does not suffice for a single text.
        """
        places: dict[str, int] = {}
        for text in texts:
            places.setdefault(text, len(places))
        rows = self._network.tokenizer.tokenise([prompt + text for text in places], self.max_length)
        beginning = self._inference.begin(prompt) if rows else None
        sharing: list[int] = []
        if beginning is not None:
            sharing = [index for index, row in enumerate(rows) if shares(row, beginning)]
        rest = sorted(set(range(len(rows))).difference(sharing))
        vectors = np.empty((len(rows), self.dimension), dtype=np.float32)
        budget = self._budget if batch_tokens is None else Budget(tokens=batch_tokens)
        waiting = [(part, known) for part, known in ((sharing, beginning), (rest, None)) if part]
        while waiting:
            batch, known = waiting.pop()
            skipped = 0 if known is None else len(known.ids)
            lengths = [len(rows[index]) - skipped for index in batch]
            if len(batch) > 1 and sum(lengths) > budget.tokens:
                parts = token_batches(lengths, tokens=budget.tokens)
                waiting += [([batch[place] for place in part], known) for part in parts]
                continue
            texts_of_batch = [rows[index] for index in batch]
            found = budget.run(partial(self._vectors, texts_of_batch, known, normalize=normalize))
            if found is None:
                waiting.append((batch, known))
            else:
                vectors[batch] = found
        self.num_tokens += sum(len(row) for row in rows)
        return vectors[[places[text] for text in texts]]

    def _vectors(self, rows: Rows, beginning: Beginning | None, *, normalize: bool) -> np.ndarray:
        pooled = self._inference.embed(rows, beginning).float()
        if normalize:
            pooled = torch.nn.functional.normalize(pooled, dim=-1)
        found: np.ndarray = pooled.cpu().numpy()
        return found


def _merged(network: Network, folder: Path) -> Network:
    """Return the network with its adapter in its weights, where that is done in the weights' own type.

    One matrix is multiplied then where there were three, and the fused pass applies.
    """
    if network.adapted is None or network.decoder.dtype != torch.float32:
        return network
    try:
        return merge_adapter(network)
    except ProbeError:
        # What was merged cannot be taken apart again to the bit.
        return load_network(folder, device=str(network.device))

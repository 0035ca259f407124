"""A loaded network at work: token ids in, vectors out, by the fastest pass that gives the same numbers.

Owns the choice of the pass, made once a network: fused where a trial allows it (`fused_trial`), else the
ordinary packed pass, and in either case with as many rows a product as make vectors independent of their
company, where any number does (`invariance`). The rule: which pass ran is part of `arithmetic`, because
two passes agree up to rounding alone.
"""

from __future__ import annotations

from functools import cached_property

import torch

from harness.models.forward import Rows, embed_rows
from harness.models.fused_decoder import FusedDecoder
from harness.models.fused_trial import fuse
from harness.models.invariance import find_floor
from harness.models.network import Network


class Inference:
    """How a network encodes.

    Args:
        network: The loaded model; its weights do not change any more.
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    @cached_property
    def arithmetic(self) -> str:
        """What decides a vector's last bits besides the model and the text.

        Empty where they depend on the texts that are encoded with it, too.
        """
        if not self._floor:
            return ""
        weight = next(iter(self._network.decoder.parameters()))
        device = weight.device.type
        processor = torch.backends.cpu.get_cpu_capability() if device == "cpu" else device
        threads = torch.get_num_threads()
        way = "" if self._fused is None else ", fused"
        way += ", merged" if self._network.is_merged else ""
        return f"torch {torch.__version__}, {processor}, {weight.dtype}, {threads} threads{way}"

    @torch.inference_mode()
    def embed(self, rows: Rows) -> torch.Tensor:
        """Return the vectors [texts, width] of texts' token ids, not normalised."""
        return self._embed(rows, floor=self._floor)

    def _embed(self, rows: Rows, *, floor: int) -> torch.Tensor:
        network = self._network
        if self._fused is not None:
            return self._fused.embed(rows, network.config.pooling, floor=floor)
        return embed_rows(network.decoder, rows, network.config.pooling, floor=floor)

    @cached_property
    def _fused(self) -> FusedDecoder | None:
        config = self._network.config
        return fuse(self._network.decoder, config.pooling, max_length=config.max_length)

    @cached_property
    def _floor(self) -> int:
        size = int(self._network.decoder.get_input_embeddings().weight.shape[0])
        return find_floor(self._embed, vocabulary=size, max_length=self._network.config.max_length)

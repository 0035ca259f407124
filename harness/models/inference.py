"""A loaded network at work: token ids in, vectors out, by the fastest pass that gives the same numbers.

Owns the choice of the pass, made once a network: fused where a trial allows it (`fused_trial`), else the
ordinary packed pass, and in either case with as many rows a product as make vectors independent of their
company, where any number does (`invariance`). What texts behind one prompt begin with is computed once.
The rule: which pass ran is part of `arithmetic`, because two passes agree up to rounding alone, and
whether a text's beginning is shared follows from the text and its prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch

from harness.models.forward import Rows, embed_rows
from harness.models.fused_decoder import Beginning, FusedDecoder
from harness.models.fused_trial import fuse, may_share
from harness.models.invariance import find_floor
from harness.models.network import Network

_FEWEST_SHARED, _LEAST_SHARE = 4, 1 / 8
"""Tokens of a beginning, and its share of a text's other ones, from which on copying its keys pays."""


class Inference:
    """How a network encodes.

    Args:
        network: The loaded model; its weights do not change any more.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._beginnings: dict[str, Beginning | None] = {}

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

    def begin(self, prompt: str) -> Beginning | None:
        """Return what texts behind `prompt` begin with, computed once; None where nothing is shared."""
        if prompt not in self._beginnings:
            network = self._network
            ids = network.tokenizer.beginning(prompt, network.config.max_length)
            fused = self._sharing if len(ids) >= _FEWEST_SHARED else None
            self._beginnings[prompt] = None if fused is None else fused.begin(ids, floor=self._floor)
        return self._beginnings[prompt]

    def embed(self, rows: Rows, beginning: Beginning | None = None) -> torch.Tensor:
        """Return the vectors [texts, width] of texts' token ids, not normalised.

        Args:
            rows: Token ids; each `shares` the beginning if there is one.
            beginning: What was computed of all of them before.
        """
        return self._embed(rows, floor=self._floor, beginning=beginning)

    @torch.inference_mode()
    def _embed(self, rows: Rows, *, floor: int, beginning: Beginning | None = None) -> torch.Tensor:
        network = self._network
        if self._fused is None:
            return embed_rows(network.decoder, rows, network.config.pooling, floor=floor)
        return self._fused.embed(rows, network.config.pooling, floor=floor, beginning=beginning)

    @cached_property
    def _fused(self) -> FusedDecoder | None:
        config = self._network.config
        return fuse(self._network.decoder, config.pooling, max_length=config.max_length)

    @cached_property
    def _floor(self) -> int:
        length = self._network.config.max_length
        return find_floor(self._embed, vocabulary=self._vocabulary, max_length=length)

    @cached_property
    def _sharing(self) -> FusedDecoder | None:
        """The fused pass, if texts may share what they begin with."""
        config = self._network.config
        if self._fused is None or config.pooling != "last":
            return None
        may = may_share(
            self._fused,
            floor=self._floor,
            vocabulary=self._vocabulary,
            max_length=config.max_length,
        )
        return self._fused if may else None

    @property
    def _vocabulary(self) -> int:
        return int(self._network.decoder.get_input_embeddings().weight.shape[0])


def shares(row: Sequence[int], beginning: Beginning) -> bool:
    """Tell whether a text begins so, and is short enough for sharing to pay."""
    num = len(beginning.ids)
    return num >= _LEAST_SHARE * (len(row) - num) and tuple(row[:num]) == beginning.ids

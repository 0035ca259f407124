"""Training pairs and networks small enough for exact comparisons."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.pair_sets import write_pairs
from harness.data.pairs import Pair
from harness.models.network import Network, load_network

_THINGS = (
    "river",
    "budget",
    "lamp",
    "match",
    "phone",
    "film",
    "potato",
    "storm",
    "train",
    "garden",
    "song",
    "vote",
)


def make_pairs() -> list[Pair]:
    return [
        Pair(
            query=f"What about the {thing}{'?' * (number % 3)}",
            positive=f"The {thing} was seen " + "again and again " * (number % 5) + "on Thursday.",
            negatives=(f"No {thing} here.", f"The {thing} and the weather of number {number}."),
        )
        for number, thing in enumerate(_THINGS)
    ]


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "default.arrow"
    write_pairs(path, make_pairs())
    return path


@pytest.fixture
def network64(tiny_base: Path) -> Network:
    """The tiny model with its head, in float64 and with gradients."""
    network = load_network(tiny_base, device="cpu", with_head=True)
    network.whole.double()
    return network

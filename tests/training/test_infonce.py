"""InfoNCE against the formula written out in plain numbers, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.training.infonce import info_nce


def _vectors(rows: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(rows, 5, generator=generator, dtype=torch.float64)).requires_grad_()


def _reference(
    queries: torch.Tensor, documents: torch.Tensor, is_masked: torch.Tensor, temperature: float
) -> torch.Tensor:
    losses = []
    for row, query in enumerate(queries):
        phi = []
        for column, document in enumerate(documents):
            cosine = (query * document).sum() / (
                query.pow(2).sum().sqrt() * document.pow(2).sum().sqrt()
            )
            phi.append(torch.exp(cosine / temperature) * (0.0 if is_masked[row, column] else 1.0))
        losses.append(-torch.log(phi[row] / torch.stack(phi).sum()))
    return torch.stack(losses).mean()


@given(
    num_queries=st.integers(1, 5),
    num_negatives=st.integers(0, 6),
    temperature=st.sampled_from([0.05, 0.3, 1.0]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_loss_and_gradients_equal_the_formula(
    num_queries: int, num_negatives: int, temperature: float, seed: int
) -> None:
    queries, documents = _vectors(num_queries, seed), _vectors(num_queries + num_negatives, seed + 1)
    is_masked = torch.rand(num_queries, num_queries + num_negatives) < 0.3
    is_masked[:, :num_queries].fill_diagonal_(False)
    expected = _reference(queries, documents, is_masked, temperature)
    wanted = torch.autograd.grad(expected, (queries, documents))
    loss = info_nce(queries, documents, is_masked=is_masked, temperature=temperature).loss
    found = torch.autograd.grad(loss, (queries, documents))
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-12)
    for left, right in zip(found, wanted, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-7, atol=1e-10)


def test_lengths_of_vectors_do_not_matter() -> None:
    queries, documents = _vectors(4, 0), _vectors(4, 1)
    nothing = torch.zeros(4, 4, dtype=torch.bool)
    plain = info_nce(queries, documents, is_masked=nothing, temperature=0.1).loss
    scaled = info_nce(7 * queries, 0.2 * documents, is_masked=nothing, temperature=0.1).loss
    torch.testing.assert_close(plain, scaled)


def test_equal_candidates_give_the_logarithm_of_their_number() -> None:
    same = torch.ones(3, 4, dtype=torch.float64)
    nothing = torch.zeros(3, 3, dtype=torch.bool)
    loss, *_ = info_nce(same, same, is_masked=nothing, temperature=0.02)
    assert loss.item() == pytest.approx(math.log(3))


def test_accuracy_is_the_share_of_positives_on_top() -> None:
    queries = torch.eye(4)
    documents = torch.eye(4)[[0, 1, 3, 2]]
    nothing = torch.zeros(4, 4, dtype=torch.bool)
    assert info_nce(queries, documents, is_masked=nothing, temperature=0.1).accuracy == 0.5


def test_half_precision_vectors_are_compared_in_float32() -> None:
    nothing = torch.zeros(2, 2, dtype=torch.bool)
    queries = torch.eye(2, dtype=torch.bfloat16)
    assert info_nce(queries, queries, is_masked=nothing, temperature=0.1).loss.dtype == torch.float32


def test_the_symmetric_loss_is_the_mean_of_both_directions() -> None:
    queries, documents = _vectors(4, 0), _vectors(6, 1)
    nothing = torch.zeros(4, 6, dtype=torch.bool)
    forth = info_nce(queries, documents, is_masked=nothing, temperature=0.3).loss
    # Backwards only the positives choose, among the queries.
    back = info_nce(documents[:4], queries, is_masked=nothing[:, :4], temperature=0.3).loss
    both = info_nce(queries, documents, is_masked=nothing, temperature=0.3, symmetric=True).loss
    torch.testing.assert_close(both, (forth + back) / 2)


def test_the_gap_is_that_of_cosines_and_leaves_out_masked_candidates() -> None:
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    documents = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    is_masked = torch.tensor([[False, False, True], [False, False, False]])
    found = info_nce(queries, documents, is_masked=is_masked, temperature=0.1)
    assert found.gap == pytest.approx(1.0 - (0.0 + 0.0 + 0.5**0.5) / 3)

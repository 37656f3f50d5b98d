"""Additive, dot and general attention against formulas of one sum for each pair; masks; sizes; precisions."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from parity import LIMIT, noise, randomised, relative
from torch import Tensor

from lamplighter.nn.attention_scores import (
    AdditiveAttention,
    DotAttention,
    GeneralAttention,
    ScoreName,
    score_attention,
)

NAMES: list[ScoreName] = ["additive", "dot", "general"]
MASK = torch.tensor([[True, True, True, True, True], [True, True, False, False, False]])


def module(name: ScoreName) -> Any:
    return randomised(score_attention(name, 4, 4 if name == "dot" else 6).double())


def data(name: ScoreName) -> tuple[Tensor, Tensor]:
    return noise(2, 3, 4, seed=1), noise(2, 5, 4 if name == "dot" else 6, seed=2)


@torch.no_grad()
def by_hand(attention: Any, query: Tensor, keys: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Pair by pair; the additive score from the joined [query; key] and the joined W = [W_dec | W_enc]."""
    rows, targets, sources = query.shape[0], query.shape[1], keys.shape[1]
    contexts, weights = torch.zeros(rows, targets, keys.shape[2], dtype=keys.dtype), torch.zeros(rows, targets, sources)
    weights = weights.double()
    for n in range(rows):
        real = [s for s in range(sources) if mask[n, s]]
        for t in range(targets):
            scores = []
            for s in real:
                q, k = query[n, t], keys[n, s]
                if isinstance(attention, AdditiveAttention):
                    joined = torch.cat([attention.query.weight, attention.key.weight], 1)
                    energy = torch.tanh(torch.einsum("ad,d->a", joined, torch.cat([q, k])) + attention.key.bias)
                    scores.append(torch.einsum("a,a->", attention.score.weight[0], energy))
                elif isinstance(attention, GeneralAttention):
                    scores.append(torch.einsum("q,qk,k->", q, attention.key.weight, k))
                else:
                    scores.append(torch.einsum("q,q->", q, k))
            total = sum(math.exp(score) for score in scores)
            for s, score in zip(real, scores):
                weights[n, t, s] = math.exp(score) / total
            contexts[n, t] = sum(weights[n, t, s] * keys[n, s] for s in real)
    return contexts, weights


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_formula_pair_by_pair(name: ScoreName) -> None:
    attention = module(name)
    query, keys = data(name)
    for mask in (MASK, None):
        expected = by_hand(attention, query, keys, torch.ones_like(MASK) if mask is None else mask)
        found = attention(query, keys, mask)
        assert max(relative(a, b) for a, b in zip(found, expected)) <= LIMIT
        kept = attention(query, keys, mask, attention.project(keys))
        assert all(torch.equal(a, b) for a, b in zip(found, kept))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_finite_differences(name: ScoreName) -> None:
    attention = module(name)
    query, keys = (part.requires_grad_() for part in data(name))
    assert torch.autograd.gradcheck(lambda q, k: attention(q, k, MASK)[0], (query, keys))


@pytest.mark.parametrize("name", NAMES)
def test_padding_gets_no_weight_and_changes_nothing(name: ScoreName) -> None:
    """Without a mask ten rows of padding take half of the weight."""
    attention = module(name)
    query, keys = data(name)
    longer = torch.cat([keys, torch.full((2, 10, keys.shape[2]), 7.0, dtype=keys.dtype)], 1)
    mask = torch.cat([MASK, torch.zeros(2, 10, dtype=torch.bool)], 1)
    context, weights = attention(query, keys, MASK)
    padded, padded_weights = attention(query, longer, mask)
    assert relative(padded, context) <= 1e-12
    assert (padded_weights[~mask.unsqueeze(1).expand(-1, 3, -1)] == 0).all()
    torch.testing.assert_close(padded_weights.sum(2), torch.ones(2, 3, dtype=torch.float64), rtol=1e-14, atol=0)
    assert relative(weights, padded_weights[:, :, :5]) <= 1e-12
    assert not torch.allclose(attention(query, longer)[0], context, rtol=1e-2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_row_of_padding_gives_zeros_in_every_precision(name: ScoreName, dtype: torch.dtype) -> None:
    """Neither NaN nor infinite, forwards or backwards, with scores at the end of the range."""
    attention = module(name).to(dtype)
    query, keys = (100 * part.to(dtype) for part in data(name))
    query, keys = query.requires_grad_(), keys.requires_grad_()
    context, weights = attention(query, keys, MASK & torch.tensor([[True], [False]]))
    assert not context[1].any() and not weights[1].any()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Anomaly Detection")  # it is to be: no NaN on the way either
        with torch.autograd.detect_anomaly(check_nan=True):
            (context.float().sum() + weights.float().square().sum()).backward()
    for tensor in (context, weights, query.grad, keys.grad, *(p.grad for p in attention.parameters())):
        assert torch.isfinite(tensor).all()


def test_sizes_may_differ_but_not_with_dot() -> None:
    assert AdditiveAttention(4, 6, hidden_size=3).project(torch.zeros(1, 2, 6)).shape == (1, 2, 3)
    with pytest.raises(ValueError, match="query_size is 4, key_size 6"):
        DotAttention(4, 6)

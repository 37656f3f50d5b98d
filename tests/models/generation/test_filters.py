"""Filters of scores against transformers' processors."""

from __future__ import annotations

import pytest
import torch
from transformers.generation.logits_process import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from lamplighter.models.generation import filters

IDS = torch.randint(0, 50, (6, 9), generator=torch.Generator().manual_seed(0))


def scores(seed: int, spread: float = 3.0) -> torch.Tensor:
    return spread * torch.randn(6, 50, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("k", [1, 5, 49, 50, 80])
def test_top_k(k: int) -> None:
    x = scores(k).round(decimals=1)  # with ties
    assert torch.equal(filters.top_k(x, k), TopKLogitsWarper(k)(IDS, x))


@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
@pytest.mark.parametrize("p", [0.01, 0.3, 0.8, 0.95, 0.999])
def test_top_p(p: float, spread: float) -> None:
    for seed in range(5):
        x = scores(seed, spread)
        assert torch.equal(filters.top_p(x, p), TopPLogitsWarper(p)(IDS, x))


@pytest.mark.parametrize("value", [0.5, 1.7])
def test_temperature(value: float) -> None:
    assert torch.equal(filters.temperature(scores(1), value), TemperatureLogitsWarper(value)(IDS, scores(1)))


@pytest.mark.parametrize("penalty", [0.7, 1.3])
def test_repetition_penalty(penalty: float) -> None:
    seen = torch.zeros(6, 50, dtype=torch.bool).scatter_(1, IDS, True)
    ours = filters.repetition_penalty(scores(2), seen, penalty)
    assert torch.equal(ours, RepetitionPenaltyLogitsProcessor(penalty)(IDS, scores(2)))


def test_filters_in_a_row_keep_what_an_earlier_one_dropped_out() -> None:
    x = filters.top_p(filters.top_k(scores(3), 5), 0.9)
    assert torch.equal(x, TopPLogitsWarper(0.9)(IDS, TopKLogitsWarper(5)(IDS, scores(3))))
    assert (torch.isfinite(x).sum(1) <= 5).all() and (torch.isfinite(x).sum(1) >= 1).all()

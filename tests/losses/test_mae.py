"""Mean absolute error against torch; what it answers among outliers."""

from __future__ import annotations

import math

import torch

from lamplighter.losses.mae import MAE, mae
from lamplighter.losses.mse import mse


def test_equals_torch_with_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    prediction = torch.randn(9, 3, dtype=torch.float64, generator=generator).requires_grad_()
    target = torch.randn(9, 3, dtype=torch.float64, generator=generator)
    expected = torch.nn.functional.l1_loss(prediction, target)
    actual = mae(prediction, target)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=0)
    (ours,), (theirs,) = torch.autograd.grad(actual, prediction), torch.autograd.grad(expected, prediction)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


def test_the_source_texts_numbers() -> None:
    value = mae(torch.tensor([2.5, 3.1, 1.8]), torch.tensor([2.0, 3.0, 2.0]))
    assert abs(value.item() - 0.2667) < 5e-5


def test_blanks_do_not_count() -> None:
    value, weight = MAE()(torch.tensor([[1.0, 5.0], [2.0, 2.0]]), torch.tensor([[3.0, math.nan], [math.nan, 2.5]]))
    assert (value.item(), weight.item()) == (1.25, 2)


def test_the_best_constant_is_the_median_and_not_the_mean() -> None:
    target = torch.cat([torch.linspace(0, 1, 100, dtype=torch.float64), torch.tensor([500.0, 1000.0]).double()])
    grid = torch.linspace(0, 20, 2001, dtype=torch.float64)
    best = {loss: grid[torch.stack([loss(a.expand_as(target), target) for a in grid]).argmin()] for loss in (mae, mse)}
    assert abs(best[mae] - target.median()) < 0.011
    assert abs(best[mse] - target.mean()) < 0.011
    assert target.mean() > 15

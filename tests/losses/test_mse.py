"""Masked mean squared error against sums written out."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lamplighter.losses.mse import mse


def tensors() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    prediction = torch.randn(6, 3, dtype=torch.float64, generator=generator).requires_grad_()
    return prediction, torch.randn(6, 3, dtype=torch.float64, generator=generator)


def test_without_blanks_equals_torch_with_gradients() -> None:
    prediction, target = tensors()
    expected = torch.nn.functional.mse_loss(prediction, target)
    actual = mse(prediction, target)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=0)
    (ours,), (theirs,) = torch.autograd.grad(actual, prediction), torch.autograd.grad(expected, prediction)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


def test_blanks_neither_count_nor_send_gradients() -> None:
    prediction, target = tensors()
    blank = torch.zeros(6, 3, dtype=torch.bool)
    blank[0, 1] = blank[3] = True
    target[blank] = math.nan
    loss = mse(prediction, target)
    pairs = [
        (p, t) for p, t in zip(prediction.detach().flatten().tolist(), target.flatten().tolist()) if not math.isnan(t)
    ]
    assert len(pairs) == 14
    assert abs(loss.item() - sum((p - t) ** 2 for p, t in pairs) / 14) < 1e-12
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert gradient[blank].abs().max() == 0
    expected = 2 * (prediction.detach() - target) / 14
    torch.testing.assert_close(gradient[~blank], expected[~blank], rtol=1e-12, atol=0)


def test_all_blank_is_zero() -> None:
    prediction, target = tensors()
    loss = mse(prediction, torch.full_like(target, math.nan))
    loss.backward()
    assert loss.item() == 0.0
    assert prediction.grad is not None and prediction.grad.abs().max() == 0


def test_a_prediction_that_is_nan_shows() -> None:
    assert math.isnan(mse(torch.tensor([[math.nan]]), torch.tensor([[1.0]])).item())

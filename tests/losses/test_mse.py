"""Masked mean squared error against sums written out."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lamplighter.losses.mse import MSE, mse


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


def test_the_mean_of_no_entry_is_nan_with_a_gradient_of_zero() -> None:
    prediction, target = tensors()
    loss = mse(prediction, torch.full_like(target, math.nan))
    loss.backward()
    assert loss.isnan()
    assert prediction.grad is not None and prediction.grad.abs().max() == 0


def test_a_prediction_that_is_nan_shows() -> None:
    assert math.isnan(mse(torch.tensor([[math.nan]]), torch.tensor([[1.0]])).item())


def test_the_component_is_the_function_and_counts_entries() -> None:
    prediction, target = tensors()
    target[0, 1] = target[3, 2] = math.nan
    value, weight = MSE()(prediction, target)
    assert torch.equal(value, mse(prediction, target))
    assert weight == 16


def test_the_source_texts_example_is_0_1() -> None:
    value = mse(torch.tensor([2.5, 3.1, 1.8]), torch.tensor([2.0, 3.0, 2.0]))
    assert abs(value.item() - 0.1) < 1e-6, "the text says 0.08"

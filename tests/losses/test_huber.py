"""Huber, smooth L1 and log-cosh against torch and the formula."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lamplighter.losses.huber import Huber, LogCosh, SmoothL1, huber, log_cosh, smooth_l1
from lamplighter.losses.mae import mae
from lamplighter.losses.mse import mse


def tensors() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    prediction = 2 * torch.randn(40, 3, dtype=torch.float64, generator=generator)
    return prediction.requires_grad_(), torch.randn(40, 3, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("edge", [0.3, 1.0, 2.5])
@pytest.mark.parametrize(("ours", "theirs"), [(huber, F.huber_loss), (smooth_l1, F.smooth_l1_loss)])
def test_equals_torch_with_gradients(ours: Callable[..., Tensor], theirs: Callable[..., Tensor], edge: float) -> None:
    prediction, target = tensors()
    expected = theirs(prediction, target, **{"delta" if ours is huber else "beta": edge})
    actual = ours(prediction, target, edge)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=0)
    (mine,), (other,) = torch.autograd.grad(actual, prediction), torch.autograd.grad(expected, prediction)
    torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-18)


def test_log_cosh_equals_the_formula_with_gradients() -> None:
    prediction, target = tensors()
    value = log_cosh(prediction, target)
    error = prediction.detach().numpy() - target.numpy()
    assert abs(value.item() / np.log(np.cosh(error)).mean() - 1) < 1e-12
    (gradient,) = torch.autograd.grad(value, prediction)
    np.testing.assert_allclose(gradient.numpy(), np.tanh(error) / error.size, rtol=1e-12)


def test_log_cosh_does_not_overflow() -> None:
    assert log_cosh(torch.tensor([1e6]), torch.tensor([0.0])).item() == pytest.approx(1e6 - math.log(2))


def test_the_source_texts_numbers() -> None:
    value = huber(torch.tensor([2.5, 3.1, 1.8]), torch.tensor([2.0, 3.0, 2.0]))
    assert abs(value.item() - 0.05) < 1e-6


def test_no_row_pulls_harder_than_delta() -> None:
    prediction = torch.tensor([0.5, -3.0, 1000.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(3 * huber(prediction, torch.zeros(3), delta=2.0), prediction)
    assert gradient.tolist() == [0.5, -2.0, 2.0]


def test_what_the_ends_become() -> None:
    prediction, target = tensors()
    torch.testing.assert_close(huber(prediction, target, delta=1e3), mse(prediction, target) / 2)
    torch.testing.assert_close(smooth_l1(prediction, target, beta=1e-9), mae(prediction, target))


@pytest.mark.parametrize(
    ("criterion", "function"),
    [(Huber(0.7), lambda p, t: huber(p, t, 0.7)), (SmoothL1(0.7), lambda p, t: smooth_l1(p, t, 0.7))],
)
def test_the_components_have_their_parameters(criterion: Huber, function: Callable[..., Tensor]) -> None:
    prediction, target = tensors()
    target[:5] = math.nan
    value, weight = criterion(prediction, target)
    assert torch.equal(value, function(prediction, target))
    assert weight == 105
    assert torch.equal(LogCosh()(prediction, target)[0], log_cosh(prediction, target))

"""Cross-entropy against torch and against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lamplighter.losses.cross_entropy import cross_entropy


def logits(rows: int = 12, classes: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (4 * torch.randn(rows, classes, dtype=torch.float64, generator=generator)).requires_grad_()


def targets(rows: int = 12, classes: int = 5) -> Tensor:
    return torch.randint(0, classes, (rows,), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("ignored", [0, 5])
def test_equals_torch_with_gradients(smoothing: float, ignored: int) -> None:
    z, y = logits(), targets()
    y[:ignored] = -1
    expected = torch.nn.functional.cross_entropy(z, y, label_smoothing=smoothing, ignore_index=-1)
    actual = cross_entropy(z, y, smoothing)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=0)
    (ours,), (theirs,) = torch.autograd.grad(actual, z), torch.autograd.grad(expected, z)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_equals_the_formula() -> None:
    z, y = logits().detach().numpy(), targets().numpy()
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    q = np.full_like(z, 0.2 / 5)
    q[np.arange(12), y] += 0.8
    assert abs(cross_entropy(logits(), targets(), 0.2).item() + (q * log_p).sum(1).mean()) < 1e-12


def test_the_source_texts_example_is_0_4170() -> None:
    assert abs(cross_entropy(torch.tensor([[2.0, 1.0, 0.1]]), torch.tensor([0])).item() - 0.4170) < 5e-5


def test_huge_logits_stay_finite() -> None:
    z = torch.tensor([[2000.0, 0.0]])
    assert cross_entropy(z, torch.tensor([1])).item() == 2000.0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_any_target_there_is_no_value_and_no_gradient(smoothing: float) -> None:
    z = logits()
    loss = cross_entropy(z, torch.full((12,), -1), smoothing)
    loss.backward()
    assert loss.isnan()
    assert z.grad is not None and z.grad.abs().max() == 0.0


def test_another_index_can_be_ignored() -> None:
    z, y = logits(), targets()
    kept = y != 2
    assert kept.any() and not kept.all()
    torch.testing.assert_close(cross_entropy(z, y, ignore_index=2), cross_entropy(z[kept], y[kept]))

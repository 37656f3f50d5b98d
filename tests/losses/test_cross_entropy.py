"""Cross-entropy against torch and against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lamplighter.losses.cross_entropy import CrossEntropy, cross_entropy, probabilities


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


WEIGHTS = torch.tensor([0.2, 1.0, 5.0, 0.0, 2.5], dtype=torch.float64)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("ignored", [0, 5])
def test_class_weights_equal_torch_which_divides_by_their_sum(smoothing: float, ignored: int) -> None:
    z, y = logits(), targets()
    y[:ignored] = -1
    y[-5:] = torch.arange(5)
    expected = torch.nn.functional.cross_entropy(
        z, y, weight=WEIGHTS, label_smoothing=smoothing, ignore_index=-1, reduction="mean"
    )
    actual = cross_entropy(z, y, smoothing, class_weights_K=WEIGHTS)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=0)
    (ours,), (theirs,) = torch.autograd.grad(actual, z), torch.autograd.grad(expected, z)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-15)
    assert abs(WEIGHTS[y[y >= 0]].mean() - 1) > 0.05, "the number of rows would be another divisor"


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_probabilities_equal_torch_with_gradients(smoothing: float) -> None:
    z = logits()
    q = torch.rand(12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).softmax(1)
    expected = torch.nn.functional.cross_entropy(z, q, label_smoothing=smoothing)
    actual = cross_entropy(z, q, smoothing)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=0)
    (ours,), (theirs,) = torch.autograd.grad(actual, z), torch.autograd.grad(expected, z)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_one_hot_probabilities_equal_class_indices(weights: Tensor | None, smoothing: float) -> None:
    z, y = logits(), targets()
    y[2] = -1
    hot = probabilities(y, z)
    assert hot[2].sum() == 0, "a row of zeros has no target"
    expected = cross_entropy(z, y, smoothing, class_weights_K=weights)
    torch.testing.assert_close(cross_entropy(z, hot, smoothing, class_weights_K=weights), expected, rtol=1e-12, atol=0)
    criterion = CrossEntropy(smoothing, class_weights=None if weights is None else weights.tolist()).double()
    torch.testing.assert_close(criterion(z, hot)[1], criterion(z, y)[1].double(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_mixed_targets_are_the_mix_of_the_losses(share: float) -> None:
    z, a, b = logits(), targets(), targets().roll(1)
    mixed = share * probabilities(a, z) + (1 - share) * probabilities(b, z)
    expected = share * cross_entropy(z, a) + (1 - share) * cross_entropy(z, b)
    assert cross_entropy(z, mixed).item() == pytest.approx(expected.item(), rel=1e-14)


def test_a_row_mixed_with_one_without_a_label_counts_by_its_share() -> None:
    z, y = logits(), targets()
    half = probabilities(y, z)
    half[0] *= 0.25
    value, weight = CrossEntropy()(z, half)
    rows = torch.nn.functional.cross_entropy(z, y, reduction="none")
    assert weight.item() == 11.25
    torch.testing.assert_close(value, (0.25 * rows[0] + rows[1:].sum()) / 11.25, rtol=1e-12, atol=0)


def test_images_have_a_class_for_each_position() -> None:
    z = torch.randn(2, 5, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.randint(-1, 5, (2, 3, 4), generator=torch.Generator().manual_seed(1))
    for weights in (None, WEIGHTS):
        expected = torch.nn.functional.cross_entropy(z, y, weight=weights, label_smoothing=0.1, ignore_index=-1)
        torch.testing.assert_close(cross_entropy(z, y, 0.1, class_weights_K=weights), expected, rtol=1e-12, atol=0)


def test_a_class_that_cannot_be_is_no_nan() -> None:
    z = torch.tensor([[1.0, 2.0, -torch.inf]], requires_grad=True)
    q = torch.tensor([[0.5, 0.5, 0.0]])
    value = cross_entropy(z, q)
    torch.testing.assert_close(value, cross_entropy(z[:, :2], q[:, :2]))
    assert torch.isfinite(torch.autograd.grad(value, z)[0]).all()


def test_the_component_is_the_function_and_its_weight_the_divisor() -> None:
    z, y = logits(), targets()
    y[:3] = -1
    value, weight = CrossEntropy(label_smoothing=0.1)(z, y)
    assert torch.equal(value, cross_entropy(z, y, 0.1))
    assert weight == 9
    value, weight = CrossEntropy(class_weights=WEIGHTS.tolist()).double()(z, y)
    torch.testing.assert_close(value, cross_entropy(z, y, class_weights_K=WEIGHTS), rtol=1e-6, atol=0)
    assert weight.item() == pytest.approx(WEIGHTS[y[3:]].sum().item())


def test_a_negative_index_never_counts_whatever_is_ignored() -> None:
    z, y = logits(), targets()
    y[:3] = -1
    value, weight = CrossEntropy(ignore_index=2)(z, y)
    kept = (y >= 0) & (y != 2)
    torch.testing.assert_close(value, cross_entropy(z[kept], y[kept]))
    assert weight == kept.sum()
    weighted = CrossEntropy(ignore_index=2, class_weights=[1.0] * 5).double()(z, y)
    torch.testing.assert_close(weighted[0], value)


def test_cross_entropy_learns_where_the_squared_error_has_no_gradient() -> None:
    """A row that is wrong and sure of it: the squared error of the probabilities is flat there."""
    z = torch.tensor([[0.0, 12.0]], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0])
    (steep,) = torch.autograd.grad(cross_entropy(z, y), z)
    (flat,) = torch.autograd.grad((z.softmax(1) - probabilities(y, z)).square().sum(), z)
    assert steep.abs().max() > 0.99
    assert flat.abs().max() < 1e-4

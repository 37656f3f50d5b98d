"""Focal loss against torchvision, against cross-entropy, and the source text's numbers put right."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from lamplighter.core.errors import RecipeError
from lamplighter.losses.bce import binary_cross_entropy
from lamplighter.losses.cross_entropy import cross_entropy
from lamplighter.losses.focal import BinaryFocal, Focal, binary_focal, focal


def logits(rows: int = 40, classes: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (3 * torch.randn(rows, classes, dtype=torch.float64, generator=generator)).requires_grad_()


def targets(rows: int = 40, classes: int = 4) -> Tensor:
    return torch.randint(0, classes, (rows,), generator=torch.Generator().manual_seed(1))


def same(ours: Tensor, theirs: Tensor, leaf: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    (mine,), (other,) = torch.autograd.grad(ours, leaf), torch.autograd.grad(theirs, leaf)
    torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [0.25, 0.9, None])
def test_binary_equals_torchvision(gamma: float, alpha: float | None) -> None:
    z, y = logits(), (targets() == 0).double()[:, None].expand(40, 4).contiguous()
    y[::3] = torch.tensor([1.0, 0.0, 0.3, 0.8], dtype=torch.float64)
    expected = sigmoid_focal_loss(z, y, alpha=-1 if alpha is None else alpha, gamma=gamma, reduction="mean")
    same(binary_focal(z, y, gamma, alpha), expected, z)


@pytest.mark.parametrize("gamma", [0.0, 0.7, 2.0])
@pytest.mark.parametrize("alpha", [0.25, None])
def test_of_two_classes_it_is_the_binary_form(gamma: float, alpha: float | None) -> None:
    """Logits 0 and z; the paper's alpha becomes one factor for each class."""
    z = logits()[:, 0].detach().requires_grad_()
    y = targets(classes=2)
    two = torch.stack([torch.zeros_like(z), z], dim=1)
    expected = sigmoid_focal_loss(z, y.double(), alpha=-1 if alpha is None else alpha, gamma=gamma, reduction="mean")
    same(focal(two, y, gamma, 1.0 if alpha is None else (1 - alpha, alpha)), expected, z)


def test_gamma_0_is_cross_entropy_also_weighted() -> None:
    z, y = logits(), targets()
    same(focal(z, y, gamma=0.0), cross_entropy(z, y), z)
    weights = torch.tensor([0.2, 1.0, 3.0, 7.0], dtype=torch.float64)
    expected = torch.nn.functional.cross_entropy(z, y, weight=weights)
    same(focal(z, y, gamma=0.0, class_weights_K=weights), expected, z)
    summed = torch.nn.functional.cross_entropy(z, y, weight=weights, reduction="sum") / 40
    same(focal(z, y, gamma=0.0, alpha=weights.tolist()), summed, z)
    same(
        binary_focal(z, (y == 0).double()[:, None].expand(40, 4), gamma=0.0),
        binary_cross_entropy(z, (y == 0).double()[:, None].expand(40, 4)),
        z,
    )


def test_the_source_texts_logits() -> None:
    z, y = torch.tensor([[2.0, 1.0, 0.1]], dtype=torch.float64), torch.tensor([0])
    assert focal(z, y).item() == pytest.approx(0.04849, abs=5e-6)
    assert focal(z, y, alpha=0.25).item() == pytest.approx(0.01212, abs=5e-6)


def test_each_row_has_its_own_factor() -> None:
    """The text's formula put on a mean loss gives another number; so would the largest probability for p."""
    z, y = logits(64, 3), targets(64, 3)
    by_hand = [-((1 - p[k]) ** 2 * p[k].log()).item() for p, k in zip(z.detach().softmax(1), y)]
    assert focal(z, y).item() == pytest.approx(sum(by_hand) / 64, rel=1e-12)
    mean = cross_entropy(z, y)
    assert abs((1 - torch.exp(-mean)) ** 2 * mean - focal(z, y)) > 0.03
    top = z.log_softmax(1).amax(1)
    assert focal(z, y) > 10 * -((1 - top.exp()) ** 2 * top).mean()


def test_right_rows_count_less_and_the_hard_ones_decide() -> None:
    z = torch.tensor([[math.log(9), 0.0], [0.0, math.log(9)]], dtype=torch.float64)
    easy, hard = focal(z[:1], torch.tensor([0])), focal(z[1:], torch.tensor([0]))
    assert easy.item() == pytest.approx(-0.01 * math.log(0.9))
    assert hard.item() == pytest.approx(-0.81 * math.log(0.1))


@pytest.mark.parametrize("gamma", [0.0, 0.3, 2.0])
def test_certain_rows_have_finite_gradients(gamma: float) -> None:
    """For gamma below 1 the slope of (1 - p)^gamma at p = 1 is infinite."""
    for size in (10.0, 60.0, 1e3, 1e5):
        z = torch.tensor([[size, 0.0], [0.0, size]], requires_grad=True)
        (gradient,) = torch.autograd.grad(focal(z, torch.tensor([0, 0]), gamma), z)
        assert torch.isfinite(gradient).all()
        (gradient,) = torch.autograd.grad(binary_focal(z, torch.ones(2, 2), gamma), z)
        assert torch.isfinite(gradient).all()


def test_impossible_classes_add_nothing() -> None:
    z = torch.tensor([[1.0, 2.0, -math.inf]], requires_grad=True)
    value = focal(z, torch.tensor([0]))
    torch.testing.assert_close(value, focal(z[:, :2], torch.tensor([0])))
    assert torch.isfinite(torch.autograd.grad(value, z)[0]).all()


def test_probabilities_weigh_the_terms_of_their_classes() -> None:
    z, a, b = logits(), targets(), targets().roll(1)
    one_hot = torch.nn.functional.one_hot
    mixed = 0.3 * one_hot(a, 4).double() + 0.7 * one_hot(b, 4).double()
    torch.testing.assert_close(focal(z, mixed), 0.3 * focal(z, a) + 0.7 * focal(z, b), rtol=1e-12, atol=0)


def test_ignored_rows_and_weights_of_the_component() -> None:
    z, y = logits(), targets()
    y[:7] = -1
    value, weight = Focal(gamma=1.5, alpha=(1.0, 2.0, 3.0, 4.0), class_weights=(4.0, 1.0, 0.5, 2.0)).double()(z, y)
    expected = focal(z, y, 1.5, (1.0, 2.0, 3.0, 4.0), class_weights_K=torch.tensor([4.0, 1.0, 0.5, 2.0]))
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    assert weight.item() == pytest.approx(sum([4.0, 1.0, 0.5, 2.0][k] for k in y.tolist() if k >= 0))
    third = Focal(ignore_index=2)(z, y)
    assert third[1] == ((y != 2) & (y >= 0)).sum()
    assert BinaryFocal(gamma=3.0, alpha=0.2)(z, (z > 0).double())[0] == binary_focal(z, (z > 0).double(), 3.0, 0.2)


def test_alpha_must_fit_the_classes() -> None:
    with pytest.raises(RecipeError, match=r"task\.loss\.alpha: 2 numbers for 3 classes"):
        Focal(alpha=(0.5, 0.5), num_classes=3)

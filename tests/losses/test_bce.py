"""Binary cross-entropy against torch."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from lamplighter.core import registry
from lamplighter.core.errors import RecipeError
from lamplighter.losses.bce import BCE, binary_cross_entropy
from lamplighter.losses.cross_entropy import cross_entropy


def tensors() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 15 * torch.randn(20, 3, dtype=torch.float64, generator=generator)
    return logits.requires_grad_(), torch.rand(20, 3, dtype=torch.float64, generator=generator).round(decimals=1)


@pytest.mark.parametrize("pos_weight", [None, 3.0, (0.5, 1.0, 8.0)])
def test_equals_torch_with_gradients(pos_weight: float | tuple[float, ...] | None) -> None:
    """Logits reach 40: softplus as torch has it would be linear there, and 1e-10 off."""
    logits, target = tensors()
    weight = None if pos_weight is None else torch.tensor(pos_weight, dtype=torch.float64)
    expected = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weight)
    actual = binary_cross_entropy(logits, target, weight)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=0)
    (ours,), (theirs,) = torch.autograd.grad(actual, logits), torch.autograd.grad(expected, logits)
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-17)
    component = BCE(pos_weight).double()
    torch.testing.assert_close(component(logits, target)[0], expected, rtol=1e-12, atol=0)


def test_blanks_neither_count_nor_send_gradients() -> None:
    logits, target = tensors()
    target[2] = target[5, 1] = math.nan
    given = ~target.isnan()
    value, weight = BCE()(logits, target)
    torch.testing.assert_close(value, F.binary_cross_entropy_with_logits(logits[given], target[given]))
    assert weight == 56
    (gradient,) = torch.autograd.grad(value, logits)
    assert gradient[~given].abs().max() == 0


def test_it_is_cross_entropy_of_the_logits_0_and_z() -> None:
    logits, _ = tensors()
    z, y = logits[:, 0], torch.arange(20) % 2
    two = torch.stack([torch.zeros_like(z), z], dim=1)
    torch.testing.assert_close(binary_cross_entropy(z, y.double()), cross_entropy(two, y), rtol=1e-12, atol=0)


def test_balanced_is_no_by_yes() -> None:
    criterion = BCE("balanced", class_counts=(90, 30))
    assert criterion.pos_weight is not None and criterion.pos_weight.item() == 3.0
    assert criterion.resolved() == {"pos_weight": 3.0}
    assert BCE(2.0).resolved() == {}


@pytest.mark.parametrize("counts", [None, (5, 0), (3, 3, 3)])
def test_balanced_needs_both_counts(counts: tuple[int, ...] | None) -> None:
    with pytest.raises(RecipeError, match="pos_weight: balanced needs rows of both classes"):
        BCE("balanced", class_counts=counts)


def test_what_a_recipe_may_say_of_pos_weight() -> None:
    for good in (None, "balanced", 2, 0.5, [1.0, 2.0]):
        registry.validate("loss", "bce", {"pos_weight": good})
    for bad, words in (("balancd", "must be balanced, a number"), (0, "greater than 0"), ([1, -1], "greater than 0")):
        with pytest.raises(ValidationError, match=words):
            registry.validate("loss", "bce", {"pos_weight": bad})

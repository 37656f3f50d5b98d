"""What losses share: the mean of nothing, blanks, and errors that name what fits."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from lamplighter.core import registry
from lamplighter.core.errors import LamplighterError, RecipeError
from lamplighter.core.recipe import Component
from lamplighter.losses.criterion import Criterion, Takes, build, difference, full_precision, mean_of


def test_the_mean_is_weighted_and_the_divisor_is_returned() -> None:
    terms = torch.tensor([2.0, 3.0], dtype=torch.float64, requires_grad=True)
    mean, total = mean_of(terms, torch.tensor([0.5, 2.0], dtype=torch.float64))
    assert (mean.item(), total.item()) == (2.0, 2.5)
    (gradient,) = torch.autograd.grad(mean, terms)
    assert gradient.tolist() == [0.4, 0.4]


def test_the_mean_of_nothing_is_nan_with_a_gradient_of_zero() -> None:
    terms = torch.zeros(3, requires_grad=True)
    mean, total = mean_of(terms, torch.zeros(3, dtype=torch.bool))
    mean.backward()
    assert math.isnan(mean.item()) and total.item() == 0
    assert terms.grad is not None and terms.grad.tolist() == [0, 0, 0]


def test_blanks_differ_by_nothing_and_send_nothing() -> None:
    prediction = torch.tensor([1.0, math.nan, 3.0], requires_grad=True)
    error, present = difference(prediction, torch.tensor([0.5, math.nan, math.nan]))
    assert error.tolist() == [0.5, 0.0, 0.0]
    assert present.tolist() == [True, False, False]
    error.square().sum().backward()
    assert prediction.grad is not None and prediction.grad.tolist() == [1.0, 0.0, 0.0]


def test_full_precision_widens_16_bits_only() -> None:
    kinds = (torch.bfloat16, torch.float16, torch.float32, torch.float64)
    assert [full_precision(torch.zeros(1, dtype=kind)).dtype for kind in kinds] == [
        torch.float32,
        torch.float32,
        torch.float32,
        torch.float64,
    ]


def test_a_loss_that_compares_something_else_is_refused_with_those_that_fit() -> None:
    with pytest.raises(RecipeError, match=r"task\.loss: 'mse' scores numbers; t takes cross-entropy, focal$"):
        build(Component(name="mse"), ["classes"], "t")
    with pytest.raises(RecipeError, match=r"'dice' scores the overlap of regions in images; t takes bce, binary-focal"):
        build(Component(name="dice"), ["classes", "binary"], "t")
    assert build(Component(name="mse"), ["numbers"], "t").takes == "numbers"


def test_mistakes_in_parameters_are_named() -> None:
    with pytest.raises(LamplighterError, match=r"gama: unknown key \(did you mean 'gamma'\?\)"):
        build(Component.model_validate({"name": "focal", "gama": 1.0}), ["classes"], "t")


def test_a_loss_of_ones_own_is_built_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_USER", {})

    class Fourth(Criterion):
        """Mean fourth power."""

        takes: ClassVar[Takes] = "numbers"

        def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
            error, present = difference(prediction, target)
            return error**4, present

    registry.register("loss", "fourth")(Fourth)
    criterion = build(Component(name="fourth"), ["numbers"], "regression")
    value, weight = criterion(torch.tensor([2.0, 7.0]), torch.tensor([0.0, math.nan]))
    assert (value.item(), weight.item()) == (16.0, 1)
    with pytest.raises(RecipeError, match="regression takes fourth, huber"):
        build(Component(name="bce"), ["numbers"], "regression")


def test_what_is_no_criterion_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_USER", {})
    registry.register("loss", "plain")(_nothing)
    with pytest.raises(RecipeError, match=r"'plain' is no subclass of lamplighter\.losses\.criterion\.Criterion"):
        build(Component(name="plain"), ["numbers"], "regression")


def _nothing() -> int:
    """Not a loss."""
    return 3

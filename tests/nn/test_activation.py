"""Activations by name, against their formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor

from lamplighter.core.errors import UnknownComponentError
from lamplighter.nn.activation import ActivationName, activation, names

X = torch.linspace(-10, 10, 2001, dtype=torch.float64)


def softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros_like(x))


def gelu(x: Tensor) -> Tensor:
    return x * torch.tensor([0.5 * math.erfc(-v / math.sqrt(2)) for v in x.tolist()], dtype=torch.float64)


FORMULAS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda x: (x + x.abs()) / 2,
    "leaky-relu": lambda x: torch.where(x > 0, x, 0.01 * x),
    "prelu": lambda x: torch.where(x > 0, x, 0.25 * x),
    "elu": lambda x: torch.where(x > 0, x, torch.exp(x) - 1),
    "selu": lambda x: 1.0507009873554805 * torch.where(x > 0, x, 1.6732632423543772 * (torch.exp(x) - 1)),
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "tanh": lambda x: (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x)),
    "softmax": lambda x: torch.exp(x) / torch.exp(x).sum(),
    "gelu": gelu,
    "gelu-tanh": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "swish": lambda x: x / (1 + torch.exp(-x)),
    "mish": lambda x: x * torch.tanh(softplus(x)),
    "hardswish": lambda x: x * (x + 3).clamp(0, 6) / 6,
}


def test_the_table_is_complete() -> None:
    assert names() == sorted(FORMULAS)
    assert {*get_args(ActivationName), "softmax"} == set(names())


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_values_and_gradients(name: str) -> None:
    module = activation(name).double()  # type: ignore[arg-type]
    torch.testing.assert_close(module(X).detach(), FORMULAS[name](X), rtol=1e-12, atol=1e-12)
    x = torch.linspace(-9.95, 9.95, 40, dtype=torch.float64, requires_grad=True)  # away from the kinks at 0 and +-3
    assert torch.autograd.gradcheck(module, (x,))


@pytest.mark.parametrize("name", sorted(set(FORMULAS) - {"softmax"}))
def test_each_number_by_itself(name: str) -> None:
    module = activation(name)  # type: ignore[arg-type]
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(module(x)[1, 2, 3, 4], module(x[1:, 2:, 3:, 4:])[0, 0, 0, 0], rtol=1e-6, atol=0)


def test_gelu_is_the_exact_form_and_not_the_tanh_one() -> None:
    difference = (activation("gelu")(X) - activation("gelu-tanh")(X)).abs().max()
    assert 4e-4 < difference < 5e-4


def test_the_source_texts_table() -> None:
    """Topic 3: x = -2, -1, 0, 1, 2."""
    x = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
    expected = {
        "relu": [0, 0, 0, 1, 2],
        "sigmoid": [0.1192, 0.2689, 0.5, 0.7311, 0.8808],
        "tanh": [-0.9640, -0.7616, 0, 0.7616, 0.9640],
        "gelu": [-0.0455, -0.1587, 0, 0.8413, 1.9545],
    }
    for name, values in expected.items():
        torch.testing.assert_close(activation(name)(x), torch.tensor(values, dtype=x.dtype), rtol=0, atol=5e-5)  # type: ignore[arg-type]


def test_softmax_is_over_the_last_dimension_and_sums_to_one() -> None:
    x = torch.tensor([[1000.0, 1000.0], [-1000.0, 0.0]])
    assert activation("softmax")(x).tolist() == [[0.5, 0.5], [0.0, 1.0]]


def test_prelu_has_its_own_slope_in_each_place() -> None:
    first, second = activation("prelu"), activation("prelu")
    assert first.weight is not second.weight
    assert first.weight.requires_grad


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownComponentError, match=r"'leakyrelu' \(did you mean 'leaky-relu'\?\)"):
        activation("leakyrelu")  # type: ignore[arg-type]


def test_neuron_of_topic_1() -> None:
    """relu(x W + b) by hand, and ``nn.Linear`` loaded with W^T: both 0.6."""
    x, weights, bias = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[0.5], [-0.3], [0.2]]), torch.tensor([0.1])
    linear = torch.nn.Linear(3, 1)
    linear.load_state_dict({"weight": weights.T, "bias": bias})
    by_hand = activation("relu")(x @ weights + bias)
    assert by_hand.item() == pytest.approx(0.6, abs=1e-6)
    torch.testing.assert_close(activation("relu")(linear(x)), by_hand)
    assert activation("sigmoid")(torch.zeros(1)).item() == 0.5  # without a bias the pre-activation of 0 is 0, not this

"""Activations by name, against their formulas."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lamplighter.nn.activation import activation

X = torch.linspace(-10, 10, 2001, dtype=torch.float64)


def test_relu_gelu_and_silu_are_their_formulas() -> None:
    phi = torch.tensor([0.5 * math.erfc(-x / math.sqrt(2)) for x in X.tolist()], dtype=torch.float64)
    expected: dict[str, Tensor] = {"relu": X.clamp(min=0), "gelu": X * phi, "silu": X / (1 + torch.exp(-X))}
    for name, values in expected.items():
        torch.testing.assert_close(activation(name)(X), values, rtol=1e-12, atol=1e-12)  # type: ignore[arg-type]


def test_gelu_is_the_exact_form_and_not_the_tanh_one() -> None:
    tanh = torch.nn.functional.gelu(X, approximate="tanh")
    assert (activation("gelu")(X) - tanh).abs().max() > 1e-4


def test_gradients_are_right() -> None:
    x = torch.randn(20, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for name in ("relu", "gelu", "silu"):
        assert torch.autograd.gradcheck(activation(name), (x,))  # type: ignore[arg-type]

"""A stack of linear layers equals the one it collapses to."""

from __future__ import annotations

import pytest
import torch
from parity import noise, randomised, relative
from torch import nn

from lamplighter.nn.linear import collapse


@pytest.mark.parametrize("bias", [True, False])
def test_three_layers_are_one_matrix(bias: bool) -> None:
    layers = [nn.Linear(7, 20, bias=bias), nn.Linear(20, 30), nn.Linear(30, 4, bias=bias)]
    stack = randomised(nn.Sequential(*layers).double())
    W, b = collapse(stack)
    x = noise(9, 7)
    assert W.shape == (4, 7) and b.shape == (4,) and W.dtype == torch.float64
    assert relative(x @ W.T + b, stack(x)) < 1e-12
    with_relu = nn.Sequential(layers[0], nn.ReLU(), *layers[1:])
    assert relative(x @ W.T + b, with_relu(x)) > 1e-2


def test_nested_stacks_lists_and_identities() -> None:
    inner = nn.Sequential(nn.Linear(3, 5), nn.Identity())
    stack = nn.Sequential(inner, nn.Linear(5, 2))
    W, b = collapse(stack)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(x @ W.T + b, stack(x))
    assert torch.equal(collapse([inner[0], stack[1]])[0], W)
    assert torch.equal(collapse(inner[0])[0], inner[0].weight)
    assert W.dtype == torch.float32 and not W.requires_grad


def test_what_is_not_linear_or_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"layer '1\.0' is no linear layer but ReLU"):
        collapse(nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.ReLU())))
    with pytest.raises(ValueError, match="layer '1' takes 4 numbers, but layer '0' gives 5"):
        collapse(nn.Sequential(nn.Linear(3, 5), nn.Linear(4, 2)))
    with pytest.raises(ValueError, match="no linear layer to collapse"):
        collapse([nn.Identity()])

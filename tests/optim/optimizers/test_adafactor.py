"""Adafactor against its recurrence written out, over 200 steps in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamplighter.core import registry
from lamplighter.optim.optimizers.adafactor import adafactor


def rms(tensor: Tensor) -> float:
    return math.sqrt(tensor.square().mean().item())


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize(("beta2_decay", "d"), [(-0.8, 1.0), (-0.5, 2.0)])
def test_a_matrix_keeps_rows_and_columns(
    start: Callable[[], Tensor],
    gradient: Callable[[Tensor, int], Tensor],
    run: Callable[..., Tensor],
    beta2_decay: float,
    d: float,
    decay: float,
) -> None:
    w, rows, columns = start(), torch.zeros(4, 1).double(), torch.zeros(1, 3).double()
    for t in range(1, 201):
        g, keep = gradient(w, t - 1), 1 - t**beta2_decay
        size = max(1e-3, rms(w)) * min(0.05, 1 / math.sqrt(t))
        w = w - 0.05 * decay * w
        rows = keep * rows + (1 - keep) * g.square().mean(dim=1, keepdim=True)
        columns = keep * columns + (1 - keep) * g.square().mean(dim=0, keepdim=True)
        u = g / (rows @ columns / rows.mean()).sqrt()
        w = w - size * u / max(1.0, rms(u) / d)
    ours = run(lambda groups: adafactor(groups, 0.05, decay, beta2_decay, (None, 1e-3), d))
    torch.testing.assert_close(ours, w, rtol=1e-12, atol=1e-13)


def test_memory_is_a_row_and_a_column() -> None:
    w = nn.Parameter(torch.ones(300, 200))
    w.grad = torch.ones_like(w)
    optimizer = adafactor([{"params": [w]}])
    optimizer.step()
    assert sum(value.numel() for value in optimizer.state[w].values()) == 300 + 200 + 1


def test_null_in_a_recipe_is_the_smallest_number_of_the_type() -> None:
    def weights(params: dict[str, Any]) -> Tensor:
        w = nn.Parameter(torch.linspace(-1, 1, 12).view(4, 3))
        optimizer = registry.build("optimizer", "adafactor", params, {"params": [{"params": [w]}]})
        w.grad = torch.full((4, 3), 1e-8)
        optimizer.step()
        return w.detach()

    same = torch.equal(weights({}), weights({"eps": [torch.finfo(torch.float32).eps, 1e-3]}))
    assert same
    assert not torch.equal(weights({}), weights({"eps": [1e-30, 1e-3]}))

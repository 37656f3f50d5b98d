"""Lion against its recurrence written out, over 200 steps in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lamplighter.optim.optimizers.lion import lion


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize(("b1", "b2"), [(0.9, 0.99), (0.5, 0.7)])
def test_lion_is_its_recurrence(
    start: Callable[[], Tensor],
    gradient: Callable[[Tensor, int], Tensor],
    run: Callable[..., Tensor],
    b1: float,
    b2: float,
    decay: float,
) -> None:
    w, m = start(), torch.zeros(4, 3).double()
    for step in range(200):
        g = gradient(w, step)
        w = w - 0.003 * (torch.sign(b1 * m + (1 - b1) * g) + decay * w)
        m = b2 * m + (1 - b2) * g
    ours = run(lambda groups: lion(groups, 0.003, decay, (b1, b2)))
    torch.testing.assert_close(ours, w, rtol=1e-12, atol=1e-13)


def test_every_entry_moves_by_the_rate_however_large_its_gradient() -> None:
    w = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    w.grad = torch.tensor([1e-6, -1e6, 0.0])
    lion([{"params": [w]}], lr=0.1, weight_decay=0.0).step()
    torch.testing.assert_close(w.detach(), torch.tensor([0.9, -1.9, 3.0]))

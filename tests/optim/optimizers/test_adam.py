"""Adam and AdamW against their recurrences and against torch's plain loops, over 200 steps in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lamplighter.optim.optimizers.adam import adam, adamw
from lamplighter.optim.optimizers.sgd import sgd


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize(("b1", "b2"), [(0.9, 0.999), (0.0, 0.5)])
@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_and_adamw_are_their_recurrences(
    start: Callable[[], Tensor],
    gradient: Callable[[Tensor, int], Tensor],
    run: Callable[..., Tensor],
    decoupled: bool,
    b1: float,
    b2: float,
    decay: float,
    amsgrad: bool,
) -> None:
    w, m, v, largest = start(), *(torch.zeros(4, 3).double() for _ in range(3))
    for step in range(200):
        g = gradient(w, step) + (0 if decoupled else decay) * w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        largest = torch.maximum(largest, v)
        m_hat, v_hat = m / (1 - b1 ** (step + 1)), (largest if amsgrad else v) / (1 - b2 ** (step + 1))
        w = w - 0.01 * ((decay if decoupled else 0) * w + m_hat / (v_hat.sqrt() + 1e-6))
    make = adamw if decoupled else adam
    ours = run(lambda groups: make(groups, 0.01, decay, (b1, b2), 1e-6, amsgrad))
    torch.testing.assert_close(ours, w, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize(("ours", "theirs"), [(adam, torch.optim.Adam), (adamw, torch.optim.AdamW)])
def test_defaults_are_torchs(
    run: Callable[..., Tensor],
    ours: Callable[..., torch.optim.Optimizer],
    theirs: Callable[..., torch.optim.Optimizer],
    amsgrad: bool,
) -> None:
    expected = run(lambda groups: theirs(groups, amsgrad=amsgrad, foreach=False))
    torch.testing.assert_close(run(lambda groups: ours(groups, amsgrad=amsgrad)), expected, rtol=1e-12, atol=1e-13)


def test_float32_stays_within_rounding(gradient: Callable[[Tensor, int], Tensor], start: Callable[[], Tensor]) -> None:
    results = []
    for dtype in (torch.float32, torch.float64):
        w = nn.Parameter(start().to(dtype))
        optimizer = adam([{"params": [w]}])
        for step in range(200):
            w.grad = gradient(w.detach().double(), step).to(dtype)
            optimizer.step()
        results.append(w.detach().double())
    torch.testing.assert_close(*results, rtol=0, atol=1e-5)


def test_adams_decay_is_a_penalty_and_adamws_is_not(
    run: Callable[..., Tensor], gradient: Callable[..., Tensor]
) -> None:
    """Adam with decay 0.1 equals Adam on the loss plus 0.05 |w|^2, without decay; AdamW equals neither."""
    coupled = run(lambda groups: adam(groups, weight_decay=0.1))

    def on_penalised(make: Callable[..., torch.optim.Optimizer]) -> Tensor:
        class Penalised(torch.optim.Optimizer):
            def __init__(self, groups: list[dict[str, object]]) -> None:
                super().__init__(groups, {})
                self.inner = make(groups)

            def step(self, closure: object = None) -> None:  # type: ignore[override]
                for p in self.param_groups[0]["params"]:
                    w = p.detach().clone().requires_grad_()
                    (0.05 * w.square().sum()).backward()
                    p.grad = p.grad + w.grad
                self.inner.step()

        return run(Penalised)

    torch.testing.assert_close(on_penalised(adam), coupled, rtol=1e-12, atol=1e-14)
    decoupled = run(lambda groups: adamw(groups, weight_decay=0.1))
    assert (decoupled - coupled).abs().max() > 1e-3


@pytest.mark.parametrize("make", [adam, adamw, sgd])
def test_updates_run_in_one_kernel_on_the_cpu(make: Callable[..., torch.optim.Optimizer]) -> None:
    assert make([{"params": [nn.Parameter(torch.zeros(2))]}]).param_groups[0]["fused"] is True

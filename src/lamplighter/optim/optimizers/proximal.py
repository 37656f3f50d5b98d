"""Proximal gradient descent: an L1 penalty that sets weights to exactly 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from lamplighter.optim.optimizers.common import Beta, Groups, Lr, number

Penalty = Annotated[float, Field(ge=0)]


def proximal_sgd(
    params: Groups,
    lr: Lr = 0.01,
    l1: Penalty = 1e-4,
    l2: Penalty = 0.0,
    momentum: Beta = 0.0,
) -> torch.optim.Optimizer:
    """Minimises loss + l1 |w|_1 + l2 / 2 |w|^2; many weights become exactly 0 (Daubechies et al. 2004, "ISTA").

    m <- mu m + (1 - mu) g;  w <- soft(w - lr m, lr l1) / (1 + lr l2), where soft(v, t) = sign(v) max(0, |v| - t).

    A penalty added to the loss never gets there: its gradient jumps from +l1 to -l1 at 0, so weights jitter around 0
    without reaching it. The step above is the exact minimum of the penalty near w - lr m. Only weights are penalised;
    groups with ``weight_decay`` 0 (biases, norms) take plain steps. With the loss (1 / 2n) |y - Xw|^2, l1 = alpha is
    scikit-learn's ``Lasso(alpha)``, and l1 = alpha r, l2 = alpha (1 - r) its ``ElasticNet(alpha, l1_ratio=r)``; a mean
    squared error without the half needs twice as much.

    Args:
        params: parameter groups, see `lamplighter.optim.groups`.
        lr: learning rate: the size of a step, times the schedule.
        l1: strength of the penalty on absolute values, which makes weights 0.
        l2: strength of the penalty on squares, which makes weights small; with both it is the elastic net.
        momentum: share of the mean gradient that is kept in a step; does not move the minimum.
    """
    return ProximalSGD(params, lr=number(lr), l1=l1, l2=l2, momentum=momentum)


class ProximalSGD(torch.optim.Optimizer):
    """See `proximal_sgd`.

    Args:
        params: parameters or parameter groups; a group with ``weight_decay`` 0 is not penalised.
        lr: size of a step.
        l1: strength of the penalty on absolute values.
        l2: strength of the penalty on squares.
        momentum: share of the mean gradient that is kept in a step.
    """

    def __init__(self, params: Any, lr: float, l1: float, l2: float = 0.0, momentum: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "l1": l1, "l2": l2, "momentum": momentum})
        for group in self.param_groups:
            if group.get("weight_decay") == 0:
                group["l1"] = group["l2"] = 0.0

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step.

        Args:
            closure: computes loss and gradients anew; its result is returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lr, l1, l2, mu = group["lr"], group["l1"], group["l2"], group["momentum"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                gradient = p.grad
                if mu > 0:
                    state = self.state[p]
                    if "momentum" not in state:
                        state["momentum"] = torch.clone(gradient)
                    gradient = state["momentum"].lerp_(gradient, 1 - mu)
                p.add_(gradient, alpha=-lr)
                if l1 > 0:
                    p.copy_(soft_threshold(p, lr * l1))
                if l2 > 0:
                    p.div_(1 + lr * l2)
        return loss


def soft_threshold(v: Tensor, threshold: float) -> Tensor:
    """Towards 0 by ``threshold``, and 0 where that is further than 0: sign(v) max(0, |v| - threshold).

    >>> soft_threshold(torch.tensor([-3.0, 0.5, 2.0]), 1.0)
    tensor([-2.,  0.,  1.])
    """
    return v - v.clamp(-threshold, threshold)

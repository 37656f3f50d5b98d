"""Lion: steps of one size for every weight, in the direction where momentum points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from lamplighter.optim.optimizers.common import Beta, Decay, Groups, Lr, number


def lion(
    params: Groups,
    lr: Lr = 1e-4,
    weight_decay: Decay = 0.1,
    betas: tuple[Beta, Beta] = (0.9, 0.99),
) -> torch.optim.Optimizer:
    """The sign of momentum as the step (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms").

    w <- w - lr (sign(b1 m + (1 - b1) g) + wd w);  m <- b2 m + (1 - b2) g. Half of Adam's memory. All entries move by
    lr, so the rate is to be 3 to 10 times smaller than AdamW's, and the weight decay as many times larger.

    Args:
        params: parameter groups, see `lamplighter.optim.groups`.
        lr: learning rate: how far every weight moves in a step, times the schedule.
        weight_decay: share of each weight taken away in a step, times the learning rate; not from biases and norms.
        betas: weight of momentum within a step, and how slowly momentum forgets.
    """
    return Lion(params, lr=number(lr), weight_decay=weight_decay, betas=betas)


class Lion(torch.optim.Optimizer):
    """See `lion`.

    Args:
        params: parameters or parameter groups.
        lr: how far every weight moves in a step.
        weight_decay: share of each weight taken away in a step, times lr.
        betas: weight of momentum within a step, and how slowly momentum forgets.
    """

    def __init__(self, params: Any, lr: float, weight_decay: float, betas: tuple[float, float]) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "betas": betas})

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
            lr, (b1, b2) = group["lr"], group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                m = state["momentum"]
                direction = m.lerp(p.grad, 1 - b1).sign_()
                p.mul_(1 - lr * group["weight_decay"]).add_(direction, alpha=-lr)
                m.lerp_(p.grad, 1 - b2)
        return loss

"""Adagrad, Adadelta and RMSprop: steps divided by the size that gradients had so far."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from lamplighter.optim.optimizers.common import Beta, Decay, Groups, Lr, Positive, fused, number


def adagrad(
    params: Groups,
    lr: Lr = 0.01,
    weight_decay: Decay = 0.0,
    lr_decay: Annotated[float, Field(ge=0)] = 0.0,
    initial_accumulator_value: Annotated[float, Field(ge=0)] = 0.0,
    eps: Positive = 1e-10,
) -> torch.optim.Optimizer:
    """Divides by the root of the sum of all squared gradients (Duchi et al. 2011).

    g <- g + wd w;  s <- s + g^2;  w <- w - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps). Rare features keep a large
    rate, frequent ones lose it: made for sparse data.

    Args:
        params: parameter groups, see `lamplighter.optim.groups`.
        lr: learning rate: the size of a step, times the schedule.
        weight_decay: strength of the L2 penalty wd / 2 |w|^2 added to the loss; not for biases and norms.
        lr_decay: how fast the rate falls with the steps, beside the schedule.
        initial_accumulator_value: where the sum of squares starts.
        eps: keeps the division finite.
    """
    return torch.optim.Adagrad(
        params,
        lr=number(lr),
        weight_decay=weight_decay,
        lr_decay=lr_decay,
        initial_accumulator_value=initial_accumulator_value,
        eps=eps,
        fused=fused(params, devices=("cpu",)),  # elsewhere not in every torch since 2.9
    )


def adadelta(
    params: Groups,
    lr: Lr = 1.0,
    weight_decay: Decay = 0.0,
    rho: Beta = 0.9,
    eps: Positive = 1e-6,
) -> torch.optim.Optimizer:
    """Finds its own unit of step from the steps it took before (Zeiler 2012).

    g <- g + wd w;  s <- rho s + (1 - rho) g^2;  d = sqrt(u + eps) / sqrt(s + eps) g;  u <- rho u + (1 - rho) d^2;
    w <- w - lr d.

    Args:
        params: parameter groups, see `lamplighter.optim.groups`.
        lr: factor of the step; the paper's is 1.
        weight_decay: strength of the L2 penalty wd / 2 |w|^2 added to the loss; not for biases and norms.
        rho: how slowly the means of squares forget.
        eps: keeps the division finite, and sets the size of the first steps.
    """
    return torch.optim.Adadelta(params, lr=number(lr), weight_decay=weight_decay, rho=rho, eps=eps)


def rmsprop(
    params: Groups,
    lr: Lr = 1e-3,
    weight_decay: Decay = 0.0,
    alpha: Beta = 0.99,
    momentum: Beta = 0.0,
    centered: bool = False,
    eps: Positive = 1e-8,
) -> torch.optim.Optimizer:
    """Divides by the root of the running mean of squared gradients (Hinton 2012, lecture 6e).

    g <- g + wd w;  v <- a v + (1 - a) g^2;  m <- mu m + g / (sqrt(v) + eps);  w <- w - lr m. When centered, the square
    of the running mean of g is taken from v (Graves 2013).

    Args:
        params: parameter groups, see `lamplighter.optim.groups`.
        lr: learning rate: the size of a step, times the schedule.
        weight_decay: strength of the L2 penalty wd / 2 |w|^2 added to the loss; not for biases and norms.
        alpha: how slowly the mean of squares forgets.
        momentum: share of the last step that goes on.
        centered: divide by the standard deviation instead of the root mean square.
        eps: keeps the division finite.
    """
    return torch.optim.RMSprop(
        params,
        lr=number(lr),
        weight_decay=weight_decay,
        alpha=alpha,
        momentum=momentum,
        centered=centered,
        eps=eps,
    )

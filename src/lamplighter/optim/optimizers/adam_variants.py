"""Adamax, NAdam and RAdam: Adam with another norm, with Nesterov's look-ahead, and with a careful start."""

from __future__ import annotations

import torch

from lamplighter.optim.optimizers.common import Beta, Decay, Groups, Lr, Positive, number


def adamax(
    params: Groups,
    lr: Lr = 2e-3,
    weight_decay: Decay = 0.0,
    betas: tuple[Beta, Beta] = (0.9, 0.999),
    eps: Positive = 1e-8,
) -> torch.optim.Optimizer:
    """Adam with the largest gradient in place of the mean square (Kingma and Ba 2015, section 7).

    g <- g + wd w;  m <- b1 m + (1 - b1) g;  u <- max(b2 u, |g| + eps);  w <- w - lr m / ((1 - b1^t) u).

    Args:
        params: parameter groups, see `lamplighter.optim.groups`.
        lr: learning rate: the size of a step, times the schedule.
        weight_decay: strength of the L2 penalty wd / 2 |w|^2 added to the loss; not for biases and norms.
        betas: how slowly the mean of the gradient and the largest gradient forget.
        eps: keeps the division finite.
    """
    return torch.optim.Adamax(params, lr=number(lr), weight_decay=weight_decay, betas=betas, eps=eps)


def nadam(
    params: Groups,
    lr: Lr = 2e-3,
    weight_decay: Decay = 0.0,
    betas: tuple[Beta, Beta] = (0.9, 0.999),
    eps: Positive = 1e-8,
    momentum_decay: Decay = 4e-3,
    decoupled_weight_decay: bool = True,
) -> torch.optim.Optimizer:
    """Adam that looks one momentum step ahead (Dozat 2016).

    With mu_t = b1 (1 - 0.96^(t psi) / 2):  w <- w - lr (mu_{t+1} m / (1 - mu_1 ... mu_{t+1})
    + (1 - mu_t) g / (1 - mu_1 ... mu_t)) / (sqrt(v^) + eps), m and v as in Adam.

    Args:
        params: parameter groups, see `lamplighter.optim.groups`.
        lr: learning rate: the size of a step, times the schedule.
        weight_decay: strength of the pull towards 0; not for biases and norms.
        betas: how slowly the means of the gradient and of its square forget.
        eps: keeps the division finite.
        momentum_decay: psi: how fast momentum grows to its full strength.
        decoupled_weight_decay: decay as in AdamW; false adds the L2 penalty to the gradient as in Adam.
    """
    return torch.optim.NAdam(
        params,
        lr=number(lr),
        weight_decay=weight_decay,
        betas=betas,
        eps=eps,
        momentum_decay=momentum_decay,
        decoupled_weight_decay=decoupled_weight_decay,
    )


def radam(
    params: Groups,
    lr: Lr = 1e-3,
    weight_decay: Decay = 0.0,
    betas: tuple[Beta, Beta] = (0.9, 0.999),
    eps: Positive = 1e-8,
    decoupled_weight_decay: bool = True,
) -> torch.optim.Optimizer:
    """Adam that does not trust its second moment before it has seen enough gradients (Liu et al. 2020, "RAdam").

    With rho_inf = 2 / (1 - b2) - 1 and rho_t = rho_inf - 2 t b2^t / (1 - b2^t): while rho_t <= 5 a step is lr m^;
    after that it is lr r_t m^ / (sqrt(v^) + eps), where r_t grows from 0 to 1. It spares the warm-up.

    Args:
        params: parameter groups, see `lamplighter.optim.groups`.
        lr: learning rate: the size of a step, times the schedule.
        weight_decay: strength of the pull towards 0; not for biases and norms.
        betas: how slowly the means of the gradient and of its square forget.
        eps: keeps the division finite.
        decoupled_weight_decay: decay as in AdamW; false adds the L2 penalty to the gradient as in Adam.
    """
    return torch.optim.RAdam(
        params,
        lr=number(lr),
        weight_decay=weight_decay,
        betas=betas,
        eps=eps,
        decoupled_weight_decay=decoupled_weight_decay,
    )

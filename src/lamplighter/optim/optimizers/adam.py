"""Adam, with decoupled weight decay (AdamW) or with the L2 penalty of the original."""

from __future__ import annotations

import torch

from lamplighter.optim.optimizers.common import Beta, Decay, Groups, Lr, Positive, fused, number
from lamplighter.optim.optimizers.direct import DirectAdam, DirectAdamW, uniform


def adamw(
    params: Groups,
    lr: Lr = 1e-3,
    weight_decay: Decay = 0.01,
    betas: tuple[Beta, Beta] = (0.9, 0.999),
    eps: Positive = 1e-8,
    amsgrad: bool = False,
) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019).

    m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  w <- w - lr (wd w + m^ / (sqrt(v^) + eps)), where ^ divides by
    1 - b^t. The right first choice for almost everything.

    Args:
        params: parameter groups, see `lamplighter.optim.groups`.
        lr: learning rate: the size of a step, times the schedule.
        weight_decay: share of each weight taken away in a step, times the learning rate; not from biases and norms.
        betas: how slowly the means of the gradient and of its square forget.
        eps: keeps the division finite.
        amsgrad: divide by the largest v so far, so that steps never grow again (Reddi et al. 2018).
    """
    one_kernel = fused(params, shards=True)
    make = DirectAdamW if one_kernel and uniform(params) else torch.optim.AdamW
    return make(
        params,
        lr=number(lr),
        weight_decay=weight_decay,
        betas=betas,
        eps=eps,
        amsgrad=amsgrad,
        fused=one_kernel,
    )


def adam(
    params: Groups,
    lr: Lr = 1e-3,
    weight_decay: Decay = 0.0,
    betas: tuple[Beta, Beta] = (0.9, 0.999),
    eps: Positive = 1e-8,
    amsgrad: bool = False,
) -> torch.optim.Optimizer:
    """Adam as first published (Kingma and Ba 2015); its weight decay is an L2 penalty, not decay.

    g <- g + wd w;  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  w <- w - lr m^ / (sqrt(v^) + eps), where ^
    divides by 1 - b^t. The penalty's gradient is divided by sqrt(v^) like the rest, so weights with large gradients
    shrink less. Where weights are meant to decay, take ``adamw``.

    Args:
        params: parameter groups, see `lamplighter.optim.groups`.
        lr: learning rate: the size of a step, times the schedule.
        weight_decay: strength of the L2 penalty wd / 2 |w|^2 added to the loss; not for biases and norms.
        betas: how slowly the means of the gradient and of its square forget.
        eps: keeps the division finite.
        amsgrad: divide by the largest v so far, so that steps never grow again (Reddi et al. 2018).
    """
    one_kernel = fused(params, shards=True)
    make = DirectAdam if one_kernel and uniform(params) else torch.optim.Adam
    return make(
        params,
        lr=number(lr),
        weight_decay=weight_decay,
        betas=betas,
        eps=eps,
        amsgrad=amsgrad,
        fused=one_kernel,
    )

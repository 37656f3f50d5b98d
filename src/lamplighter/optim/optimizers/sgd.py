"""Stochastic gradient descent, with or without momentum."""

from __future__ import annotations

import torch

from lamplighter.core.errors import TrainingError
from lamplighter.optim.optimizers.common import Beta, Decay, Groups, Lr, fused, number
from lamplighter.optim.optimizers.direct import DirectSGD, uniform


def sgd(
    params: Groups,
    lr: Lr = 0.1,
    momentum: Beta = 0.9,
    nesterov: bool = True,
    weight_decay: Decay = 5e-4,
    dampening: Beta = 0.0,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum (Sutskever et al. 2013).

    g <- g + wd w;  m <- mu m + (1 - dampening) g (the first step takes m = g);
    w <- w - lr (g + mu m) with Nesterov's look-ahead, else w - lr m.

    The pull towards 0 is that of the penalty wd / 2 |w|^2: minimising (1/n) |y - Xw|^2 with weight decay 2 alpha / n is
    scikit-learn's ``Ridge(alpha)``.

    Args:
        params: parameter groups, see `lamplighter.optim.groups`.
        lr: learning rate: the size of a step, times the schedule.
        momentum: share of the last step that goes on; 0 is plain gradient descent.
        nesterov: look one momentum step ahead.
        weight_decay: strength of the pull towards 0 added to the gradient; not for biases and norms.
        dampening: share of a new gradient that momentum leaves out; needs ``nesterov: false``.

    Raises:
        TrainingError: dampening together with Nesterov's look-ahead, which is not defined.
    """
    if nesterov and momentum > 0 and dampening > 0:
        raise TrainingError("optimizer 'sgd': dampening needs nesterov: false")
    one_kernel = fused(params)
    make = DirectSGD if one_kernel and uniform(params) else torch.optim.SGD
    return make(
        params,
        lr=number(lr),
        momentum=momentum,
        dampening=dampening,
        nesterov=nesterov and momentum > 0,
        weight_decay=weight_decay,
        fused=one_kernel,
    )

"""Adafactor: Adam's second moment in rows and columns instead of in full, for matrices that fill the memory."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from lamplighter.core.errors import TrainingError
from lamplighter.optim.optimizers.common import Decay, Groups, Lr, Positive, number, sharded


def adafactor(
    params: Groups,
    lr: Lr = 0.01,
    weight_decay: Decay = 0.0,
    beta2_decay: Annotated[float, Field(lt=0)] = -0.8,
    eps: tuple[Positive | None, Positive] = (None, 1e-3),
    clip_threshold: Annotated[float, Field(ge=1)] = 1.0,
) -> torch.optim.Optimizer:
    """Steps relative to the size of the weights, with two vectors of memory for a matrix (Shazeer and Stern 2018).

    For a matrix, with b2 = 1 - t^beta2_decay: r and c are running means of g^2 over its columns and rows, and
    v = r c / mean(r); u = g / sqrt(v);
    w <- w - wd lr w - max(eps2, rms(w)) min(lr, 1 / sqrt(t)) u / max(1, rms(u) / d).
    Vectors keep v in full. Of more than two dimensions only the last two are factored, so convolution kernels of 3 x 3
    gain nothing and run slowly: take it for transformers.

    Args:
        params: parameter groups, see `lamplighter.optim.groups`.
        lr: largest step relative to the size of a weight, times the schedule.
        weight_decay: share of each weight taken away in a step, times the learning rate; not from biases and norms.
        beta2_decay: how fast the means of squares become slow; negative.
        eps: smallest square (null: the number type's), and smallest size of a weight.
        clip_threshold: d: updates whose root mean square is larger are scaled down to it.

    Raises:
        TrainingError: parameters are sharded over processes, whose rows and columns torch does not add up.
    """
    if sharded(params):
        raise TrainingError("optimizer 'adafactor' cannot step sharded parameters; use adamw, or train.strategy: ddp")
    return torch.optim.Adafactor(
        params, lr=number(lr), weight_decay=weight_decay, beta2_decay=beta2_decay, eps=eps, d=clip_threshold
    )

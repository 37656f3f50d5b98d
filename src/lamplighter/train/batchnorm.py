"""Running statistics of batch normalisation: found, kept, and estimated anew for weights that were averaged."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lamplighter.data.source import Batch
from lamplighter.tasks.base import Task
from lamplighter.train.freezing import is_frozen


def layers(module: nn.Module) -> list[_BatchNorm]:
    """Batch-norm layers (of any dimension, synchronised ones too) that keep running statistics.

    >>> len(layers(nn.Sequential(nn.BatchNorm1d(3), nn.LayerNorm(3), nn.BatchNorm1d(3, track_running_stats=False))))
    1
    """
    return [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.running_mean is not None]


def statistics(module: nn.Module) -> dict[str, Tensor]:
    """The running means and variances, by their names in ``module``; live tensors."""
    named = {id(buffer): name for name, buffer in module.named_buffers()}
    found = [buffer for layer in layers(module) for buffer in (layer.running_mean, layer.running_var)]
    return {named[id(buffer)]: buffer for buffer in found if buffer is not None}


@contextlib.contextmanager
def kept(module: nn.Module) -> Iterator[None]:
    """Whatever happens to the running statistics inside, they are afterwards as they were before."""
    buffers = [buffer for layer in layers(module) for buffer in layer.buffers(recurse=False)]
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, old in zip(buffers, before):
                buffer.copy_(old)


def reestimate(
    task: Task,
    batches: Iterable[Batch],
    autocast: contextlib.AbstractContextManager[Any] | None = None,
    limit: int | None = None,
) -> None:
    """Replace the running statistics by the mean over ``batches`` of each batch's mean and (unbiased) variance.

    Averaged weights were never run in training, so no layer knows the statistics of their activations (Izmailov et al.
    2018, "Averaging Weights Leads to Wider Optima and Better Generalization", section 3). The same numbers as
    `torch.optim.swa_utils.update_bn`, with two differences: dropout is off, as it will be when the network is used
    (and no random number is drawn); and layers that ``task.evaluate`` does not reach, or that are frozen, keep what
    they had.

    Args:
        task: its networks, with the weights to be judged; train or eval modes are put back.
        batches: training rows, in random order: rows sorted by class would make each batch's variance too small.
        autocast: the context of a forward pass.
        limit: look at this many batches only.
    """
    found = [layer for layer in layers(task) if not is_frozen(layer)]
    if not found:
        return
    modes = [(module, module.training) for module in task.modules()]
    momenta = [layer.momentum for layer in found]
    before = [[buffer.clone() for buffer in layer.buffers(recurse=False)] for layer in found]
    try:
        task.eval()
        for layer in found:
            layer.train()
            layer.reset_running_stats()
            layer.momentum = None  # a cumulative mean instead of an exponential one
        for batch in itertools.islice(batches, limit):
            with torch.no_grad(), autocast or contextlib.nullcontext():
                task.evaluate(batch)
    finally:
        for layer, momentum in zip(found, momenta):
            layer.momentum = momentum
        for module, training in modes:
            module.training = training
    for layer, old in zip(found, before):
        if layer.num_batches_tracked is not None and not int(layer.num_batches_tracked):
            for buffer, value in zip(layer.buffers(recurse=False), old):
                buffer.copy_(value)

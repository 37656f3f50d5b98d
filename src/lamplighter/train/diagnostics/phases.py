"""The losses of a task on one batch, one after the other, each with the gradients that it alone leaves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from lamplighter.data.source import Batch
from lamplighter.tasks.base import Loss, Task


def phases(task: Task, batch: Batch, autocast: contextlib.AbstractContextManager[Any] | None = None) -> Iterator[Loss]:
    """Yield what ``task.step`` yields; the autocast context is entered for each pass anew, as in training.

    Args:
        task: on the batch's device.
        batch: as the task takes it.
        autocast: None computes in the precision of the weights.
    """
    autocast = autocast or contextlib.nullcontext()
    losses = task.step(batch)
    while True:
        with autocast:
            loss = next(losses, None)
        if loss is None:
            return
        yield loss


def backward(task: Task, loss: Loss) -> dict[str, list[tuple[str, nn.Parameter]]]:
    """The gradients of one loss, and nothing else, in the parameters.

    Returns:
        The trained parameters of the loss's optimizer, in a list for each layer (dotted name of the module they are
        in); a parameter that takes no part in the loss has no gradient.
    """
    for parameter in task.parameters():
        parameter.grad = None
    if loss.value.requires_grad:
        loss.value.backward(retain_graph=loss.retain_graph)
    layers: dict[str, list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in task.parameters_of(loss.optimizer):
        if parameter.requires_grad:
            layers.setdefault(name.rpartition(".")[0], []).append((name, parameter))
    return layers


def norm(tensors: list[torch.Tensor]) -> float:
    """Euclidean norm of all numbers together, in float64: squares of small float32 numbers would vanish.

    >>> f"{norm([torch.tensor([3e-30]), torch.tensor([4e-30])]):.4g}"
    '5e-30'
    """
    squares = sum(float(tensor.detach().double().square().sum()) for tensor in tensors)
    return float(squares**0.5)

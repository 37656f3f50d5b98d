"""Which layer was the first to compute something that is not a finite number?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lamplighter.data.source import Batch
from lamplighter.tasks.base import Task
from lamplighter.train.diagnostics.phases import phases
from lamplighter.train.undisturbed import task_undisturbed


def first_non_finite(
    task: Task, batch: Batch, autocast: contextlib.AbstractContextManager[Any] | None = None
) -> str | None:
    """Compute the losses of a batch and their gradients again, and name what is NaN or infinite first.

    Looked at, in this order: the batch, parameters, buffers; the output of each layer in the order of the forward pass;
    the loss; the gradients at the outputs and inputs of the layers in the order of the backward pass; the gradients of
    the parameters. The task, its gradients and the random generators are left as they were.

    Args:
        task: on the batch's device.
        batch: as the task takes it.
        autocast: the precision of the forward pass; None for that of the weights.

    Returns:
        A phrase for an error message, or None when everything was finite this time (dropout may draw differently).
    """
    with task_undisturbed(task, parameters=False):
        task.train()
        places = [
            *((f"the batch: '{name}'", tensor) for name, tensor in batch.items() if name != "y"),  # NaN: a blank
            *((f"the parameter '{name}'", parameter) for name, parameter in task.named_parameters()),
            *((f"the buffer '{name}'", buffer) for name, buffer in task.named_buffers()),
        ]
        found = next((f"{place} has {what}" for place, tensor in places if (what := _what(tensor))), None)
        return found or _while_computing(task, batch, autocast)


def _while_computing(task: Task, batch: Batch, autocast: contextlib.AbstractContextManager[Any] | None) -> str | None:
    forward: list[str] = []
    backward: list[str] = []
    with _watched(task, forward, backward):
        for loss in phases(task, batch, autocast):
            if forward:
                return forward[0]
            if what := _what(loss.value):
                return f"the loss is {what}, every layer's output is finite"
            if loss.value.requires_grad:
                loss.value.backward(retain_graph=loss.retain_graph)
            if backward:
                return backward[0]
            for name, parameter in task.named_parameters():
                if parameter.grad is not None and (what := _what(parameter.grad)):
                    return f"the gradient of the parameter '{name}' has {what}"
                parameter.grad = None
    return None


@contextlib.contextmanager
def _watched(task: nn.Module, forward: list[str], backward: list[str]) -> Iterator[None]:
    """Fill ``forward`` and ``backward`` with what is not finite, in the order in which it happens."""
    modules = dict(task.named_modules())
    users: dict[int, list[str]] = {}
    kept: list[Tensor] = []  # so that no other tensor gets the same id

    def watch(tensor: Tensor, place: str) -> None:
        def look(gradient: Tensor) -> None:
            if what := _what(gradient):
                sources = " or ".join(_called(name, modules[name]) for name in users[id(tensor)])
                backward.append(
                    f"{place} has {what} in the backward pass" + (f"; it comes from {sources}" if sources else "")
                )

        if tensor.requires_grad and id(tensor) not in users:
            users[id(tensor)] = []
            kept.append(tensor)
            tensor.register_hook(look)

    def before(name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        for tensor in _tensors(inputs):
            watch(tensor, f"the gradient at the input of {_called(name, module)}")
            if id(tensor) in users:  # the innermost module stands for those around it
                outer = [user for user in users[id(tensor)] if not name.startswith(f"{user}.")]
                users[id(tensor)] = [*outer, name]

    def after(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        for tensor in _tensors(output):
            what = _what(tensor)
            if what:
                given = "its input is finite" if not any(_what(x) for x in _tensors(inputs)) else "so has its input"
                forward.append(f"the output of {_called(name, module)} has {what} in the forward pass, {given}")
            watch(tensor, f"the gradient at the output of {_called(name, module)}")

    hooks = []
    for name, module in task.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda m, x, name=name: before(name, m, x)))
        hooks.append(module.register_forward_hook(lambda m, x, y, name=name: after(name, m, x, y)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _called(name: str, module: nn.Module) -> str:
    return f"'{name}' ({type(module).__name__})" if name else type(module).__name__


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)


def _what(tensor: Tensor) -> str:
    """``NaN`` or ``infinity``; empty when all numbers are finite.

    >>> _what(torch.tensor([1.0, float("nan")])), _what(torch.tensor([1, 2]))
    ('NaN', '')
    """
    if not (tensor.is_floating_point() or tensor.is_complex()) or bool(torch.isfinite(tensor).all()):
        return ""
    return "NaN" if bool(torch.isnan(tensor).any()) else "infinity"

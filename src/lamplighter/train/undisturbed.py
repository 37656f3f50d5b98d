"""Experiments on a task or on a whole trainer that leave no trace: afterwards every bit is as it was."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lamplighter.train import rng

if TYPE_CHECKING:
    from lamplighter.train.trainer import Trainer


@contextmanager
def task_undisturbed(task: nn.Module, parameters: bool = True) -> Iterator[None]:
    """Whatever happens to ``task`` inside, and whatever is drawn, afterwards all is as before.

    Put back are parameters, buffers (those that no checkpoint has among them), gradients, ``requires_grad``, train and
    eval mode of each layer, plain attributes of each layer, and the global random generators. Tensors stay the same
    objects in the same memory, so optimizers and compiled code go on with them.

    Args:
        task: any module.
        parameters: False spares the copy of the weights, for experiments that compute gradients but take no step.
    """
    modules = [(module, dict(module.__dict__), dict(module._buffers)) for module in task.modules()]
    tensors = [*task.buffers(), *(task.parameters() if parameters else ())]
    copies = [(tensor, tensor.detach().clone()) for tensor in tensors]
    gradients = [(p, p.grad, p.requires_grad) for p in task.parameters()]
    for parameter, _, _ in gradients:
        parameter.grad = None
    with rng.untouched():
        try:
            yield
        finally:
            for module, attributes, buffers in modules:
                module.__dict__.clear()
                module.__dict__.update(attributes)
                module._buffers.clear()
                module._buffers.update(buffers)
            with torch.no_grad():
                for tensor, saved in copies:
                    tensor.copy_(saved)
            for parameter, gradient, trained in gradients:
                parameter.requires_grad_(trained)
                parameter.grad = gradient


@contextmanager
def trainer_undisturbed(trainer: Trainer) -> Iterator[None]:
    """Whatever steps ``trainer`` takes inside, afterwards it stands where it stood, and goes on as if nothing had been.

    Put back are the task (see `task_undisturbed`), the optimizers' states and rates, the loss scaler, the schedule, the
    loader's place, counters and averages. Callbacks hear nothing of the steps, and nothing is written.
    """
    attributes, state = dict(trainer.__dict__), dict(trainer.state.__dict__)
    place, scaler = trainer.loader.state_dict(), copy.deepcopy(trainer.scaler.state_dict())
    remembered = {name: _copy(optimizer.state_dict()) for name, optimizer in trainer.optimizers.items()}
    with task_undisturbed(trainer.task):
        trainer.averages = copy.deepcopy(trainer.averages)
        trainer.schedule = copy.deepcopy(trainer.schedule)
        trainer.step_callbacks = []
        try:
            yield
        finally:
            trainer.__dict__.clear()
            trainer.__dict__.update(attributes)
            trainer.state.__dict__.clear()
            trainer.state.__dict__.update(state)
            trainer.loader.load_state_dict(place)
            if scaler:
                trainer.scaler.load_state_dict(scaler)
            for name, optimizer in trainer.optimizers.items():
                optimizer.load_state_dict(remembered[name])


def _copy(value: Any) -> Any:
    """Nested state with tensors of its own, in the same memory layout."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copy(item) for item in value)
    return copy.copy(value)

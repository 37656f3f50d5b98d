"""The losses of several tasks of one architecture in a single call, with ``torch.func.vmap``.

Legend: M tasks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from lamplighter.core.errors import LamplighterError, TrainingError
from lamplighter.data.source import Batch
from lamplighter.tasks.base import Task


class _FirstLoss(nn.Module):
    """A task's loss as a forward pass, which is what `functional_call` can run with other weights."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        phases = self.task.step(batch)
        loss = next(phases)
        if next(phases, None) is not None:
            raise TrainingError("members of an ensemble have one loss; this task has several")
        return loss.value, torch.as_tensor(loss.weight, device=loss.value.device)


def vectorised_losses(tasks: Sequence[Task], batch: Batch) -> tuple[Tensor, Tensor]:
    """The loss of each task on the same batch, (M,), and their common weight.

    The weights are stacked for the call; gradients reach each task's own parameters, and running statistics are
    written back to its own buffers. Each task draws its own dropout masks.

    Args:
        tasks: alike, see `check_alike`.
        batch: for all of them.
    """
    parameters = {
        f"task.{name}": torch.stack([dict(task.named_parameters())[name] for task in tasks])
        for name, _ in tasks[0].named_parameters()
    }
    buffers = {
        f"task.{name}": torch.stack([dict(task.named_buffers())[name] for task in tasks])
        for name, _ in tasks[0].named_buffers()
    }
    module = _FirstLoss(tasks[0])

    def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        result: tuple[Tensor, Tensor] = functional_call(module, (parameters, buffers), (batch,))
        return result

    values_M, weights_M = vmap(one, randomness="different")(parameters, buffers)
    with torch.no_grad():
        for name, stacked in buffers.items():
            for task, value in zip(tasks, stacked):
                dict(task.named_buffers())[name.removeprefix("task.")].copy_(value)
    return values_M, weights_M[0]


def check_alike(tasks: Sequence[Task]) -> None:
    """Refuse tasks that cannot be computed together.

    Raises:
        LamplighterError: names the first difference.
    """
    shapes = [{name: tuple(value.shape) for name, value in task.state_dict().items()} for task in tasks]
    for number, (task, own) in enumerate(zip(tasks, shapes), start=1):
        differing = sorted(name for name in {*own, *shapes[0]} if own.get(name) != shapes[0].get(name))
        if type(task) is not type(tasks[0]) or differing:
            what = f"'{differing[0]}' differs" if differing else "it is another task"
            raise LamplighterError(f"task.vmap: member {number} is not like member 1 ({what}); leave out vmap")

"""From the recipe's ``train`` section to optimizers, schedule, clipping and callbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamplighter.core import registry
from lamplighter.core.errors import TrainingError
from lamplighter.core.recipe import Component, Train
from lamplighter.data.source import Batch
from lamplighter.optim.groups import apply_rates, parameter_groups
from lamplighter.optim.sam import ASCENT, Ascent, two_passes
from lamplighter.optim.schedules import Schedule
from lamplighter.tasks.base import Loss, Task
from lamplighter.train.callbacks.base import Callback

Clip = Callable[[list[nn.Parameter]], Tensor]


def optimizers(task: Task, settings: Train) -> dict[str, torch.optim.Optimizer]:
    """One optimizer for each name of the task, over the parameters it owns.

    Raises:
        TrainingError: ``train.optimizers`` names one that the task does not have.
    """
    strange = sorted(set(settings.optimizers) - set(task.optimizers))
    if strange:
        raise TrainingError(
            f"train.optimizers: this task has no optimizer '{strange[0]}'; it has {', '.join(task.optimizers)}"
        )
    return {name: _optimizer(task, name, settings.optimizers.get(name, settings.optimizer), settings)
            for name in task.optimizers}  # fmt: skip


def schedule(settings: Train, total_steps: int, steps_per_epoch: int) -> Schedule:
    """Optimizer steps done -> factor of the base rate."""
    facts = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    made: Schedule = registry.build("schedule", settings.schedule.name, settings.schedule.params, facts)
    return made


def clip(task: Task, settings: Train) -> Clip | None:
    """What limits the gradients before each step."""
    if settings.clip is None:
        return None
    made: Clip = registry.build("clip", settings.clip.name, settings.clip.params, {"module": task})
    return made


def callbacks(settings: Train, facts: Mapping[str, Any]) -> list[Callback]:
    """The recipe's callbacks, in order."""
    return [registry.build("callback", each.name, each.params, facts) for each in settings.callbacks]


def _optimizer(task: Task, name: str, component: Component, settings: Train) -> torch.optim.Optimizer:
    groups = parameter_groups(task, task.parameters_of(name), settings.layer_decay, settings.rates)
    optimizer: torch.optim.Optimizer = registry.build(
        "optimizer", component.name, component.params, {"params": groups, "module": task}
    )
    apply_rates(optimizer)
    return optimizer


def phases(
    task: Task, settings: Train, optimizers: dict[str, torch.optim.Optimizer]
) -> Callable[[Batch], Iterator[Loss]]:
    """The generator of losses of one micro-batch.

    With ``train.sam`` it has two phases, and `optimizers` gets the one that climbs.

    Raises:
        TrainingError: ``train.sam`` with a task that has several optimizers.
    """
    if settings.sam is None:
        return task.step
    if len(task.optimizers) > 1:
        raise TrainingError(f"train.sam needs a task with one optimizer; this one has {', '.join(task.optimizers)}")
    ascent = Ascent(optimizers[task.optimizers[0]], settings.sam.rho)
    optimizers[ASCENT] = ascent
    return two_passes(task.step, task, ascent)

"""The lowest loss any network could have on a batch: smoothing, soft labels and conflicts keep it above 0."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lamplighter.data.source import Batch
from lamplighter.tasks.base import Task
from lamplighter.train.diagnostics.phases import phases
from lamplighter.train.undisturbed import task_undisturbed

_ITERATIONS = 200
_NUMBERS = 2**20  # answers, beyond which looking for the floor would take minutes
_HISTORY = 2**24  # numbers that the minimiser keeps of earlier steps, at most


def loss_floor(task: Task, batch: Batch, constant: bool = False) -> float | None:
    """Put freely chosen answers in the network's place, one for each distinct input, and minimise the task's loss.

    Whatever the loss is, no network can do better, since it must give equal answers to equal inputs. For cross-entropy
    with label smoothing it is the entropy of the smoothed target, for a squared error the variance among rows that are
    alike.

    Args:
        task: with its network in ``model``, which the step calls with all rows of the batch.
        batch: as the task takes it.
        constant: one answer for all rows: the floor of a network that does not look at its inputs.

    Returns:
        The floor; ``-inf`` when the loss has none; None when the task is of another kind (several networks or
        optimizers, or a step that does more than call the model once on the batch), when its loss changes from call to
        call, as where tokens are hidden at random, and for more than a million answers.
    """
    model = getattr(task, "model", None)
    if not isinstance(model, nn.Module) or len(task.optimizers) > 1:
        return None
    groups = _alike(batch)
    groups = torch.zeros_like(groups) if constant else groups
    with task_undisturbed(task, parameters=False):
        task.train()
        try:
            task.model = free = _Free(model, groups, constant)
            first = _total(task, batch)
            if free.answers is None or first is None or free.answers.numel() > _NUMBERS:
                return None
            if _is_drawn(task, batch, free):
                return None
            free.answers.requires_grad_()
            return _minimum(task, batch, free.answers)
        except _OtherUseError:
            return None
        finally:
            task.model = model


def conflicting_rows(batch: Batch) -> int:
    """How many rows have an input that another row has with a different target.

    >>> conflicting_rows({"x": torch.tensor([[1.0], [1.0], [2.0]]), "y": torch.tensor([0, 1, 1])})
    2
    """
    y = batch.get("y")
    if y is None:
        return 0
    groups, conflicts = _alike(batch), 0
    for group in groups.unique().tolist():
        members = y[groups == group].flatten(1) if y.dim() > 1 else y[groups == group]
        if len(members) > 1 and len(members.unique(dim=0)) > 1:
            conflicts += len(members)
    return conflicts


class _OtherUseError(Exception):
    """The step calls its model in another way than once for the batch."""


class _Free(nn.Module):
    """In the place of a network: looks up the answer for each row, whatever the row holds."""

    def __init__(self, model: nn.Module, groups: Tensor, constant: bool) -> None:
        super().__init__()
        self.original = [model]  # in a list, so that it is no submodule
        self.groups, self.constant = groups, constant
        self.answers: Tensor | None = None

    def forward(self, *inputs: Tensor) -> Tensor:
        if not all(isinstance(x, Tensor) and len(x) == len(self.groups) for x in inputs):
            raise _OtherUseError
        if self.answers is None:
            with torch.no_grad():
                shown = self.original[0](*inputs)
            if not isinstance(shown, Tensor) or len(shown) != len(self.groups):
                raise _OtherUseError
            if len(inputs) > 1 and not self.constant:  # a decoder is shown more than the batch's inputs: the target
                self.groups = _alike({"groups": self.groups, **{str(i): x for i, x in enumerate(inputs)}})
            first_of = torch.stack([(self.groups == group).nonzero()[0, 0] for group in self.groups.unique()])
            self.answers = shown.float()[first_of].clone(memory_format=torch.contiguous_format)  # LBFGS needs views
        return self.answers[self.groups]


def _minimum(task: Task, batch: Batch, answers: Tensor) -> float:
    optimizer = torch.optim.LBFGS(
        [answers],
        max_iter=_ITERATIONS,
        line_search_fn="strong_wolfe",
        tolerance_change=1e-7,
        history_size=min(100, max(1, _HISTORY // answers.numel())),
    )
    lowest = math.inf

    def closure() -> Tensor:
        nonlocal lowest
        optimizer.zero_grad()
        total = _total(task, batch)
        assert total is not None
        if total.requires_grad:
            total.backward()
        value = float(total.detach())
        if not math.isnan(value):
            lowest = min(lowest, value)
        return total

    start = float(optimizer.step(closure).detach())
    return -math.inf if lowest < start - 100 * max(1.0, abs(start)) else lowest


def _is_drawn(task: Task, batch: Batch, free: _Free) -> bool:
    """Whether the same answers, which are far from equal to each other, get two losses."""
    kept, free.answers = free.answers, None if free.answers is None else torch.randn_like(free.answers)
    first, again = _total(task, batch), _total(task, batch)
    free.answers = kept
    return first is None or again is None or not torch.allclose(first, again, rtol=1e-4, equal_nan=True)


def _total(task: Task, batch: Batch) -> Tensor | None:
    """Sum of the losses of a step."""
    values = [loss.value for loss in phases(task, batch)]
    return torch.stack(values).sum() if values else None


def _alike(batch: Batch) -> Tensor:
    """The number of the group of rows with equal inputs, for each row."""
    given = [tensor for name, tensor in batch.items() if name not in ("y", "index")]
    inputs = [tensor.flatten(1) if tensor.dim() > 1 else tensor[:, None] for tensor in given]
    keys: dict[bytes, int] = {}
    rows = [b"".join(part[i].cpu().contiguous().numpy().tobytes() for part in inputs) for i in range(len(inputs[0]))]
    numbers = [keys.setdefault(row, len(keys)) for row in rows]
    return torch.tensor(numbers, device=inputs[0].device)

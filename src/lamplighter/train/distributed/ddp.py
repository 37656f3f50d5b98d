"""Data parallel: every process has all weights and learns from its share of each batch (Li et al. 2020, VLDB)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lamplighter.core.errors import LamplighterError, TrainingError
from lamplighter.tasks.base import Loss, Task
from lamplighter.train.distributed import group
from lamplighter.train.distributed.strategy import Strategy

_BUCKET = 2**23  # numbers in one exchange


class DDP(Strategy):
    """Gradients are summed over the processes, so that a step equals the step of one process with the whole batch.

    The gradients of a phase's own parameters are summed after its last micro-batch. Where one loss of one optimizer
    reaches all parameters, which the first step shows, torch's DistributedDataParallel does it from the second step on:
    it exchanges gradients while the backward pass still runs. It is no help elsewhere: with several optimizers (a GAN)
    each phase leaves gradients in networks it does not step on, and DDP around each network goes silently wrong under
    accumulation. When parameters are frozen or thawed it is made anew.

    Args:
        device: of this process.
    """

    name = "ddp"

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.task: Task | None = None
        self.wrapped: DistributedDataParallel | None = None
        self._wrapped_for: list[bool] = []  # which parameters were trained when it was made
        self._in_backward = False  # whether DDP has summed the gradients of this step

    def prepare(self, task: Task) -> None:
        self.task = task
        for tensor in [*task.parameters(), *task.buffers()]:
            dist.broadcast(tensor.detach(), 0)

    def advance(self, phase: Iterator[Loss], first: bool, last: bool) -> Loss | None:
        if self.wrapped is not None and first and self._wrapped_for != self._trained():
            self.wrapped = None
        self._in_backward = self.wrapped is not None and first
        if self.wrapped is None or not first:
            return next(phase, None)
        with contextlib.nullcontext() if last else self.wrapped.no_sync():
            loss: Loss | None = self.wrapped(phase)
        return loss

    def reduce(self, parameters: Sequence[nn.Parameter], numbers: Sequence[float]) -> list[float]:
        if self._in_backward:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(self.world)  # DDP made the mean of it
            return self.sum(numbers)
        taken = [p for p in parameters if p.requires_grad]
        sums = self.sum([*numbers, *(float(p.grad is not None) for p in taken)])
        used = [p for p, count in zip(taken, sums[len(numbers) :]) if count]
        for parameter in used:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        sum_gradients([p.grad for p in used if p.grad is not None])
        self._wrap(len(used) == sum(self._trained()) and min(sums[len(numbers) :]) == self.world)
        return sums[: len(numbers)]

    def _wrap(self, all_used: bool) -> None:
        assert self.task is not None
        if all_used and self.wrapped is None and len(self.task.optimizers) == 1:
            self.wrapped = DistributedDataParallel(_Advance(self.task))
            self._wrapped_for = self._trained()

    def _trained(self) -> list[bool]:
        assert self.task is not None
        return [parameter.requires_grad for parameter in self.task.parameters()]

    def sum(self, numbers: Sequence[float]) -> list[float]:
        return group.summed(numbers, self.device)

    def gather(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return group.gathered(tensors, self.device)

    def barrier(self) -> None:
        dist.barrier()

    def once(self, make: Callable[[], str]) -> str:
        text: str | None = None
        failed: LamplighterError | None = None
        if self.main:
            try:
                text = "+" + make()
            except LamplighterError as error:
                failed, text = error, f"-{error}"
        text = self.share(text)
        if failed is not None:
            raise failed
        if text.startswith("-"):
            raise TrainingError(text[1:])
        return text[1:]

    def share(self, text: str | None) -> str:
        return group.shared_text(text, self.device)


class _Advance(nn.Module):
    """Lets a task's generator run under the eyes of DDP, which watches what happens in ``forward``."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task

    def forward(self, phase: Iterator[Loss]) -> Any:
        return next(phase, None)


def sum_gradients(gradients: Sequence[Tensor]) -> None:
    """Sum each tensor over all processes, many in one exchange."""
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        dist.all_reduce(flat)
        for gradient, part in zip(bucket, flat.split([g.numel() for g in bucket])):
            gradient.copy_(part.view(gradient.shape))


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for gradient in gradients:
        if bucket and (gradient.dtype != bucket[0].dtype or sum(g.numel() for g in bucket) > _BUCKET):
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket

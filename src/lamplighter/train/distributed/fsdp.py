"""Fully sharded: each process keeps its share of weights, gradients and optimizer state (Zhao et al. 2023, FSDP)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from lamplighter.core.errors import TrainingError
from lamplighter.tasks.base import Task
from lamplighter.train.distributed.ddp import DDP, sum_gradients

_WORTH_SHARDING = 10_000  # parameters; a block smaller than this is sharded together with what is around it


class FSDP(DDP):
    """torch's FSDP2 (`fully_shard`): the weights of a block are gathered when it computes, and let go afterwards.

    Each network of the task is sharded, and in it each block of a list of blocks (``nn.Sequential``,
    ``nn.ModuleList``). Works for any number of networks and optimizers: gradients are exchanged in each backward pass.

    Args:
        device: of this process.
    """

    name = "fsdp"

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.mesh = init_device_mesh(self.device.type, (self.world,))

    def prepare(self, task: Task) -> None:
        self.task = task
        for tensor in [*task.parameters(), *task.buffers()]:
            dist.broadcast(tensor.detach(), 0)
        loose = [name for name, _ in task.named_parameters(recurse=False)]
        if loose:
            raise TrainingError(
                f"train.strategy: fsdp shards networks; this task's parameter '{loose[0]}' is outside of any; use ddp"
            )
        for network in task.children():
            if any(True for _ in network.parameters()):
                for block in _blocks(network):
                    fully_shard(block, mesh=self.mesh)
                # Let go after each forward pass, so that weights changed between two (by EMA) are gathered anew.
                fully_shard(network, mesh=self.mesh, reshard_after_forward=True)

    def advance(self, phase: Any, first: bool, last: bool) -> Any:
        return next(phase, None)

    def reduce(self, parameters: Sequence[nn.Parameter], numbers: Sequence[float]) -> list[float]:
        plain = []
        for parameter in parameters:
            if isinstance(parameter.grad, DTensor):
                parameter.grad.mul_(self.world)  # FSDP made the mean of it
            elif parameter.grad is not None:
                plain.append(parameter.grad)
        sum_gradients(plain)
        return self.sum(numbers)

    def full(self, value: Any) -> Any:
        return value.full_tensor() if isinstance(value, DTensor) else value


def _blocks(network: nn.Module) -> list[nn.Module]:
    """Blocks in lists of blocks that are worth an exchange of their own, the inner ones first."""
    found: list[nn.Module] = []
    for holder in network.modules():
        if isinstance(holder, (nn.Sequential, nn.ModuleList)):
            found += [
                block
                for block in holder
                if not isinstance(block, (nn.Sequential, nn.ModuleList))
                and sum(p.numel() for p in block.parameters()) >= _WORTH_SHARDING
            ]
    return found[::-1]

"""The process group: what torchrun's environment says, connections, and small exchanges of numbers and texts."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

from lamplighter.core.errors import TrainingError
from lamplighter.train.device import resolve_device
from lamplighter.train.distributed.strategy import Strategy

_PATIENCE = datetime.timedelta(minutes=30)


def world_size() -> int:
    """Processes that the launcher started: ``WORLD_SIZE``, as torchrun, Slurm wrappers, Kubernetes and Ray set it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """Number of this process on its machine, which is the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def is_main() -> bool:
    """Whether this process is the first, or the only one."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def joined(name: Literal["auto", "single", "ddp", "fsdp"], device: str) -> Iterator[Strategy]:
    """Join the other processes for the time of a training.

    Args:
        name: ``train.strategy`` of the recipe.
        device: the recipe's device; NCCL connects CUDA devices, gloo everything else.

    Raises:
        TrainingError: the strategy needs several processes and there is one, or the other way round.
    """
    world = world_size()
    if world == 1 or name == "single":
        if world > 1:
            raise TrainingError(
                f"train.strategy: single, but {world} processes were started; use ddp, fsdp or auto, or start one"
            )
        if name == "fsdp":
            raise TrainingError(
                "train.strategy: fsdp needs several processes: torchrun --nproc-per-node 2 -m lamplighter train ..."
            )
        yield Strategy()
        return
    own = resolve_device(device, local_rank())
    joined_here = not dist.is_initialized()  # Ray Train and others have joined the processes already
    if joined_here:
        dist.init_process_group("nccl" if own.type == "cuda" else "gloo", timeout=_PATIENCE)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    try:
        if name == "fsdp":
            from lamplighter.train.distributed.fsdp import FSDP

            yield FSDP(own)
        else:
            from lamplighter.train.distributed.ddp import DDP

            yield DDP(own)
    finally:
        if joined_here:
            dist.destroy_process_group()


def summed(numbers: Sequence[float], device: torch.device) -> list[float]:
    """Sums over all processes. MPS has no float64, but no process group either."""
    together = torch.tensor(list(numbers), dtype=torch.float64, device=device)
    dist.all_reduce(together)
    return [float(number) for number in together.tolist()]


def shared_text(text: str | None, device: torch.device) -> str:
    """The first process's text, for all; as bytes, nothing is pickled."""
    data = torch.tensor(list((text or "").encode()), dtype=torch.uint8, device=device)
    size = torch.tensor([len(data)], device=device)
    dist.broadcast(size, 0)
    if dist.get_rank() > 0:
        data = torch.empty(int(size), dtype=torch.uint8, device=device)
    dist.broadcast(data, 0)
    return bytes(data.cpu().tolist()).decode()


def gathered(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Rows of all processes, one process after the other; processes may have different numbers of rows."""
    return {name: _gathered(tensor, device) for name, tensor in sorted(tensors.items())}


def _gathered(tensor: Tensor, device: torch.device) -> Tensor:
    own = tensor.to(device)
    counts = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor([len(own)], device=device))
    rows = [int(count) for count in counts]
    padded = own.new_zeros((max(rows), *own.shape[1:]))
    padded[: len(own)] = own
    parts = [torch.empty_like(padded) for _ in rows]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, rows)]).to(tensor.device)

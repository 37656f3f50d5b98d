"""A whole split through a task: predictions and targets of every row."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lamplighter.core.errors import DataError, InterruptedRunError
from lamplighter.data.loader import Loader
from lamplighter.data.source import Batch, Rows
from lamplighter.tasks.base import Task, target_present
from lamplighter.train.distributed.strategy import Strategy
from lamplighter.train.precision import Precision, to_layout
from lamplighter.train.signals import StopRequest


def evaluate(
    task: Task,
    rows: Rows,
    batch_size: int,
    device: torch.device,
    precision: Precision | None = None,
    stop: StopRequest | None = None,
    strategy: Strategy | None = None,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Run ``task.evaluate`` over all rows, in eval mode and without gradients.

    Args:
        task: on ``device``; its train or eval mode is restored.
        rows: one split.
        batch_size: rows at a time.
        device: where to compute.
        precision: of the forward pass; None for fp32.
        stop: ends the evaluation at the next batch with `InterruptedRunError` when a signal came.
        strategy: of several processes, each of which computes its share of every batch and gets all results.

    Returns:
        The concatenated outputs, and the position within the split of each of their rows (rows with a blank target
        are missing).

    Raises:
        DataError: no row of the split has a target.
    """
    precision = precision or Precision("fp32", channels_last=False)
    autocast = precision.autocast(device)
    strategy = strategy or Strategy()
    outputs: dict[str, list[np.ndarray]] = {}
    positions: list[np.ndarray] = []
    was_training = task.training
    task.eval()
    loader = Loader(rows, batch_size, shuffle=False, index=True, rank=strategy.rank, world=strategy.world)
    for number, batch in enumerate(loader):
        index = batch.pop("index").numpy()
        if stop is not None and stop.signum is not None:
            raise InterruptedRunError("stopped while evaluating", stop.signum)
        with torch.inference_mode(), autocast:
            result = task.evaluate(to_layout(to_device(batch, device), precision))
        kept = _kept(batch, result)[: loader.rows_of(number)[1]]  # a process without rows of its own counts none
        for name, tensor in result.items():
            outputs.setdefault(name, []).append(tensor[: len(kept)].cpu().numpy())
        positions.append(index[kept])
    task.train(was_training)
    kept = np.concatenate(positions)
    if strategy.world > 1:
        return _of_all_processes({name: np.concatenate(parts) for name, parts in outputs.items()}, kept, strategy)
    if not len(kept):
        raise DataError("no row of this split has a target; nothing can be evaluated")
    return {name: np.concatenate(parts) for name, parts in outputs.items()}, kept


def _of_all_processes(
    outputs: dict[str, np.ndarray], positions: np.ndarray, strategy: Strategy
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The rows of all processes, in the order of the split."""
    own = {f"outputs/{name}": torch.from_numpy(array) for name, array in outputs.items()}
    gathered = strategy.gather({**own, "rows": torch.from_numpy(positions)})
    whole = {name: tensor.numpy() for name, tensor in gathered.items()}
    rows = whole.pop("rows")
    order = np.argsort(rows)
    if not len(rows):
        raise DataError("no row of this split has a target; nothing can be evaluated")
    return {name.removeprefix("outputs/"): array[order] for name, array in whole.items()}, rows[order]


def to_device(batch: Batch, device: torch.device) -> Batch:
    """All tensors on the device; copies to CUDA start from pinned memory and do not wait."""
    if device.type == "cpu":
        return batch
    if device.type != "cuda":
        return {name: tensor.to(device) for name, tensor in batch.items()}
    return {name: _pinned(tensor).to(device, non_blocking=True) for name, tensor in batch.items()}


def _pinned(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_pinned() else tensor.pin_memory()


def _kept(batch: Batch, result: dict[str, Tensor]) -> np.ndarray:
    """Positions within the batch of the rows that ``result`` speaks of."""
    count, answered = (len(next(iter(tensors.values()))) for tensors in (batch, result))
    if answered == count or "y" not in batch:
        return np.arange(answered)
    return target_present(batch["y"]).nonzero().flatten().numpy()

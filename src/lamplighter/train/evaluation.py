"""A whole split through a task: predictions and targets of every row."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lamplighter.core.errors import DataError, InterruptedRunError
from lamplighter.data.loader import Loader
from lamplighter.data.source import Batch, Rows
from lamplighter.tasks.base import Task, target_present
from lamplighter.train.precision import Precision, to_layout
from lamplighter.train.signals import StopRequest


def evaluate(
    task: Task,
    rows: Rows,
    batch_size: int,
    device: torch.device,
    precision: Precision | None = None,
    stop: StopRequest | None = None,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Run ``task.evaluate`` over all rows, in eval mode and without gradients.

    Args:
        task: on ``device``; its train or eval mode is restored.
        rows: one split.
        batch_size: rows at a time.
        device: where to compute.
        precision: of the forward pass; None for fp32.
        stop: ends the evaluation at the next batch with `InterruptedRunError` when a signal came.

    Returns:
        The concatenated outputs, and the position within the split of each of their rows (rows with a blank target
        are missing).

    Raises:
        DataError: no row of the split has a target.
    """
    precision = precision or Precision("fp32", channels_last=False)
    autocast = precision.autocast(device)
    outputs: dict[str, list[np.ndarray]] = {}
    positions: list[np.ndarray] = []
    was_training = task.training
    task.eval()
    start = 0
    for batch in Loader(rows, batch_size, shuffle=False):
        if stop is not None and stop.signum is not None:
            raise InterruptedRunError("stopped while evaluating", stop.signum)
        with torch.inference_mode(), autocast:
            result = task.evaluate(to_layout(to_device(batch, device), precision))
        for name, tensor in result.items():
            outputs.setdefault(name, []).append(tensor.cpu().numpy())
        positions.append(start + _kept(batch, result))
        start += len(next(iter(batch.values())))
    task.train(was_training)
    kept = np.concatenate(positions)
    if not len(kept):
        raise DataError("no row of this split has a target; nothing can be evaluated")
    return {name: np.concatenate(parts) for name, parts in outputs.items()}, kept


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

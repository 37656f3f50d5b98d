"""Batch normalisation estimates a mean and a variance from each micro-batch: is it large enough?"""

from __future__ import annotations

from torch import nn

SMALL = 8
"""Rows below which the statistics of a micro-batch are too noisy (Wu and He 2018, "Group Normalization", figure 1)."""

_BATCH_NORMS = nn.modules.batchnorm._BatchNorm


def batch_norm_notes(
    task: nn.Module, batch_size: int, accumulate: int = 1, world: int = 1, *, rows: int | None = None
) -> list[str]:
    """What a person should know before training a network with BatchNorm on these batches.

    Args:
        task: the networks.
        batch_size: rows of a micro-batch, over all processes.
        accumulate: micro-batches of an optimizer step.
        world: processes that share a micro-batch.
        rows: training rows, to see how many are left for the last micro-batch of an epoch.

    Returns:
        One line for each concern; none without BatchNorm.

    >>> batch_norm_notes(nn.BatchNorm1d(3), batch_size=4)[0][:58]
    'BatchNorm sees 4 rows at a time, which is too few for its '
    """
    layers = {name: m for name, m in task.named_modules() if isinstance(m, _BATCH_NORMS)}
    if not layers:
        return []
    shared = all(isinstance(layer, nn.SyncBatchNorm) for layer in layers.values())
    seen = batch_size if shared else batch_size // world
    on_gpu = any(p.device.type == "cuda" for p in task.parameters())
    remedies = ["GroupNorm"] + (["SyncBatchNorm"] if world > 1 and on_gpu and not shared else [])
    instead = f"use {' or '.join(remedies)} instead"
    notes = []
    if seen < SMALL:
        notes.append(
            f"BatchNorm sees {seen} row{'' if seen == 1 else 's'} at a time, which is too few for its mean and "
            f"variance; {instead}, or a data.batch_size of at least {SMALL * (1 if shared else world)}"
        )
    if accumulate > 1:
        notes.append(
            f"BatchNorm with train.accumulate {accumulate}: it normalises over each micro-batch of {seen} rows, so the "
            f"training is not the one with a batch of {accumulate * batch_size}; {instead}"
        )
    last = rows % batch_size // (1 if shared else world) if rows and rows > batch_size else 0
    if 1 < last < SMALL <= seen:
        notes.append(
            f"the last micro-batch of each epoch has {last} rows, too few for BatchNorm; choose a data.batch_size that "
            f"leaves more of {rows:,} rows, or {instead}"
        )
    return notes

"""Out of memory, said so that a person knows what to change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lamplighter.core.errors import TrainingError


@contextmanager
def explained(batch_size: int) -> Iterator[None]:
    """Turn an allocation that failed inside the block into a `TrainingError` that names the batch size to try."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
        if batch_size == 1:
            advice = "the batch size is 1 already: use smaller inputs or a smaller model"
        else:
            half = batch_size // 2
            advice = f"try --set data.batch_size={half} (with --set train.accumulate=2 the training stays the same)"
        raise TrainingError(f"out of memory with data.batch_size {batch_size}; {advice}") from error


def ran_out(error: BaseException) -> bool:
    """Whether an allocation failed."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    return "DefaultCPUAllocator" in text or "MPS backend out of memory" in text

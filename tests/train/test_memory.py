"""Out of memory is explained; everything else passes."""

from __future__ import annotations

import pytest
import torch

from lamplighter.core.errors import TrainingError
from lamplighter.train import memory


def test_a_real_failed_allocation_names_the_batch_size_to_try() -> None:
    with pytest.raises(TrainingError, match=r"batch_size 64; try --set data\.batch_size=32 "), memory.explained(64):
        torch.empty(2**50)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_other_ways_to_run_out(error: BaseException) -> None:
    with pytest.raises(TrainingError, match="out of memory"), memory.explained(8):
        raise error


def test_a_batch_of_one_cannot_be_halved() -> None:
    with pytest.raises(TrainingError, match="smaller inputs or a smaller model"), memory.explained(1):
        raise MemoryError


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shape"), memory.explained(8):
        raise RuntimeError("shape mismatch")

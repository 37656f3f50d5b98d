"""BatchNorm with too few rows, with accumulation, with a ragged end: each gets its line, nothing else does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lamplighter.train.diagnostics.batch_norm import batch_norm_notes

NORMS = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))


def test_enough_rows_at_a_time_need_no_note() -> None:
    assert batch_norm_notes(NORMS, 32, rows=640) == []
    assert batch_norm_notes(NORMS, 8) == []


@pytest.mark.parametrize("other", [nn.GroupNorm(2, 4), nn.LayerNorm(4), nn.InstanceNorm1d(4, affine=True), nn.ReLU()])
def test_other_normalisations_do_not_look_at_the_batch(other: nn.Module) -> None:
    assert batch_norm_notes(nn.Sequential(other), 2, accumulate=4, rows=9) == []


def test_small_batches() -> None:
    (note,) = batch_norm_notes(NORMS, 7)
    assert "7 rows at a time" in note and "GroupNorm" in note and "data.batch_size of at least 8" in note
    assert "SyncBatchNorm" not in note


def test_processes_share_a_batch() -> None:
    assert batch_norm_notes(NORMS, 32, world=4) == []
    (note,) = batch_norm_notes(NORMS, 28, world=4)
    assert "7 rows at a time" in note and "data.batch_size of at least 32" in note
    shared = nn.Sequential(nn.SyncBatchNorm(4))
    assert batch_norm_notes(shared, 28, world=4) == []


def test_accumulation() -> None:
    (note,) = batch_norm_notes(NORMS, 32, accumulate=4)
    assert "train.accumulate 4" in note and "micro-batch of 32" in note and "batch of 128" in note
    assert "GroupNorm" in note


def test_the_last_batch_of_an_epoch() -> None:
    (note,) = batch_norm_notes(NORMS, 32, rows=100)
    assert "has 4 rows" in note and "100 rows" in note
    assert batch_norm_notes(NORMS, 32, rows=97) == [], "a single row is left out by the trainer"
    assert batch_norm_notes(NORMS, 32, rows=20) == [], "one batch an epoch, of 20 rows"
    assert batch_norm_notes(NORMS, 32, rows=104) == []


def test_synchronised_statistics_are_a_remedy_on_several_gpus_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "SyncBatchNorm" not in batch_norm_notes(NORMS, 8, world=4)[0], "it does not run on a CPU"
    monkeypatch.setattr(nn.Parameter, "device", torch.device("cuda"), raising=False)
    assert "use GroupNorm or SyncBatchNorm instead" in batch_norm_notes(NORMS, 8, world=4)[0]
    assert "SyncBatchNorm" not in batch_norm_notes(NORMS, 4)[0], "one process has nobody to synchronise with"

"""Sums of rows against cross-entropy in float64."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from lamplighter.core.errors import TrainingError
from lamplighter.tasks.token_sums import check_logits, in_parts, joined, row_sums


def test_sums_are_those_of_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, y = torch.randn(4, 6, 9, dtype=torch.float64), torch.randint(-1, 9, (4, 6))
    sums = row_sums(logits, y, torch.arange(9))
    wanted = F.cross_entropy(logits.transpose(1, 2), y, ignore_index=-1, reduction="none").sum(1)
    torch.testing.assert_close(sums["nll"], wanted, rtol=1e-12, atol=1e-12)
    assert torch.equal(sums["tokens"], (y >= 0).sum(1))
    assert torch.equal(sums["hits"], ((logits.argmax(2) == y) & (y >= 0)).sum(1))
    assert torch.equal(sums["bytes"], y.clamp(min=0).sum(1))


def test_a_large_vocabulary_is_computed_in_parts() -> None:
    assert max(part.stop - part.start for part in in_parts(100, 2**22)) == 4
    x = torch.arange(10.0)
    assert torch.equal(joined(10, 2**23, lambda part: {"x": x[part]})["x"], x)


def test_logits_of_another_shape_are_named() -> None:
    with pytest.raises(TrainingError, match=r"\(2, 3\); masked-lm needs \(2, 3, 5\)"):
        check_logits(torch.zeros(2, 3), torch.zeros(2, 3), 5, "masked-lm")

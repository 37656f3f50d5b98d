"""Masks: who may look at whom, counted out by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from lamplighter.nn.masks import causal_mask, combine, from_lengths, last_token, padding_mask, positions


@pytest.mark.parametrize("window", [None, 1, 2, 5])
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (4, 4), (1, 6), (3, 7)])
def test_causal_mask_counts_from_the_last_key(queries: int, keys: int, window: int | None) -> None:
    mask = causal_mask(queries, keys, window=window)
    for i in range(queries):
        own = keys - queries + i
        for j in range(keys):
            assert bool(mask[i, j]) == (j <= own and (window is None or j > own - window))


def test_torchs_own_causal_flag_is_aligned_otherwise() -> None:
    """Why there is a mask here: with one query torch's flag shows it only the first of many keys."""
    q, k, v = torch.randn(1, 1, 1, 4), torch.randn(1, 1, 5, 4), torch.randn(1, 1, 5, 4)
    assert torch.allclose(F.scaled_dot_product_attention(q, k, v, is_causal=True), v[:, :, :1])
    ours = F.scaled_dot_product_attention(q, k, v, causal_mask(1, 5))
    assert torch.allclose(ours, F.scaled_dot_product_attention(q, k, v))


def test_masks_join() -> None:
    real = from_lengths(torch.tensor([3, 1]), 3)
    joined = combine(causal_mask(3), None, padding_mask(real))
    assert joined is not None and joined.shape == (2, 1, 3, 3)
    assert joined[0, 0].tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert joined[1, 0].tolist() == [[True, False, False]] * 3
    assert combine() is None


def test_positions_and_the_last_token_on_either_side_of_padding() -> None:
    mask = torch.tensor([[True, True, False], [False, True, True], [False, True, False]])
    assert positions(mask).tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert last_token(mask).tolist() == [1, 2, 1]


def test_impossible_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="3 queries but only 2 keys"):
        causal_mask(3, 2)
    with pytest.raises(ValueError, match="window is 0"):
        causal_mask(3, window=0)

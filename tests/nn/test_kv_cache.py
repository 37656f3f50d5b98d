"""The cache holds what was put in, however it grew."""

from __future__ import annotations

import pytest
import torch

from lamplighter.nn.kv_cache import KVCache, LayerCache


def test_it_gives_everything_so_far_in_order_beyond_its_first_room() -> None:
    cache = LayerCache()
    keys, values = torch.randn(2, 3, 150, 4), torch.randn(2, 3, 150, 5)
    end = 0
    for size in (7, 1, 1, 60, 1, 80):
        found = cache.update(keys[:, :, end : end + size], values[:, :, end : end + size])
        end += size
        assert torch.equal(found[0], keys[:, :, :end]) and torch.equal(found[1], values[:, :, :end])
    assert cache.length == 150


def test_rows_are_reordered_in_every_layer() -> None:
    cache = KVCache(2)
    keys = torch.randn(3, 1, 2, 4)
    for layer in range(2):
        cache[layer].update(keys + layer, keys - layer)
    cache.reorder(torch.tensor([2, 2, 0, 1]))
    assert cache.length == 2
    for layer in range(2):
        found = cache[layer].update(torch.zeros(4, 1, 1, 4), torch.zeros(4, 1, 1, 4))[0][:, :, :2]
        assert torch.equal(found, keys[[2, 2, 0, 1]] + layer)


def test_other_rows_or_widths_are_refused() -> None:
    cache = LayerCache()
    cache.update(torch.zeros(2, 3, 1, 4), torch.zeros(2, 3, 1, 4))
    for shape in ((1, 3, 1, 4), (2, 2, 1, 4), (2, 3, 1, 5)):
        with pytest.raises(ValueError, match=r"the cache holds \(2, 3\) rows and heads of width 4"):
            cache.update(torch.zeros(shape), torch.zeros(shape))

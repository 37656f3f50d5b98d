"""Dilated causal convolutions against sums over positions; the block against its formula; the receptive field."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from parity import noise, randomised, relative
from torch import Tensor

from lamplighter.nn.causal_conv import CausalConv1d, TemporalBlock


def by_hand(conv: Any, x: Tensor) -> Tensor:
    """Position by position: tap k of a causal kernel reads d (K - 1 - k) positions earlier."""
    size, dilation = conv.weight.shape[2], conv.dilation[0]
    output = conv.bias[None, :, None].expand(len(x), -1, x.shape[2]).clone()
    for t in range(x.shape[2]):
        for k in range(size):
            source = t - conv.sides[0] + dilation * k
            if 0 <= source < x.shape[2]:
                output[:, :, t] += torch.einsum("oc,nc->no", conv.weight[:, :, k], x[:, :, source])
    return output


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("dilation", [1, 2, 5])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4])
def test_equals_the_sum_over_positions(kernel_size: int, dilation: int, causal: bool) -> None:
    conv = randomised(CausalConv1d(3, 4, kernel_size, dilation, causal).double())
    for length in (1, 8):
        x = noise(2, 3, length)
        assert relative(conv(x), by_hand(conv, x)) <= 1e-12
    reach = dilation * (kernel_size - 1)
    assert conv.sides == (reach, 0) if causal else conv.sides == (reach - reach // 2, reach // 2)


@pytest.mark.parametrize("channels", [3, 4])
def test_a_block_is_its_formula(channels: int) -> None:
    block: Any = randomised(TemporalBlock(3, channels, 3, 2).double())
    x = noise(2, 3, 9)
    h = by_hand(block.conv2, by_hand(block.conv1, x).clamp(min=0)).clamp(min=0)
    if channels == 3:
        assert block.downsample is None
        shortcut = x
    else:
        weight, bias = block.downsample.weight[:, :, 0], block.downsample.bias
        shortcut = torch.einsum("oc,ncl->nol", weight, x) + bias[None, :, None]
    assert relative(block(x), (h + shortcut).clamp(min=0)) <= 1e-12


def test_a_block_ends_where_its_mask_ends() -> None:
    block = randomised(TemporalBlock(3, 4, 3, 2, causal=False).double())
    x, keep = noise(1, 3, 9), (torch.arange(9) < 5).double().view(1, 1, 9)
    assert relative(block(x, keep)[:, :, :5], block(x[:, :, :5])) <= 1e-12
    assert relative(block(x)[:, :, :5], block(x[:, :, :5])) > 1e-2


def test_weights_keep_the_variance_and_biases_start_at_zero() -> None:
    block = TemporalBlock(200, 300, 3)
    for conv in (block.conv1, block.conv2):
        assert abs(conv.weight.std().item() / (2 / (conv.in_channels * 3)) ** 0.5 - 1) < 0.02
        assert conv.bias is not None and not conv.bias.any()


def test_dropout_takes_whole_channels() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        block = TemporalBlock(16, 16, 1, dropout=0.5)
        torch.nn.init.ones_(block.conv2.bias)  # type: ignore[arg-type]
        torch.nn.init.zeros_(block.conv2.weight)
        dropped = block(torch.zeros(2, 16, 5)) == 0
        assert torch.equal(dropped.any(2), dropped.all(2)) and 0 < dropped.float().mean() < 1

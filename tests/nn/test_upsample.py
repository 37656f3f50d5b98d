"""The way up against torch's transposed convolution and interpolation."""

from __future__ import annotations

import pytest
import torch
from parity import noise, randomised, relative
from torch.nn import functional as F

from lamplighter.nn.upsample import UpConv


def test_each_position_becomes_a_block_of_four() -> None:
    up = randomised(UpConv(3, 5).double())
    x = noise(2, 3, 4, 6)
    blocks = torch.einsum("nchw,cokl->nohkwl", x, up.conv.weight) + up.conv.bias.view(1, 5, 1, 1, 1, 1)  # type: ignore[union-attr,arg-type,operator]
    assert relative(up(x, (8, 12)), blocks.reshape(2, 5, 8, 12)) <= 1e-12
    assert torch.equal(up(x, (7, 11)), up(x, (8, 12))[:, :, :7, :11])


@pytest.mark.parametrize("size", [(8, 12), (7, 11), (1, 1)])
def test_interpolation_and_1x1_convolution_commute(size: tuple[int, int]) -> None:
    up = randomised(UpConv(3, 5, "bilinear").double())
    x = noise(2, 3, 4, 6)
    after = up.conv(F.interpolate(x, size=size, mode="bilinear"))  # type: ignore[operator]
    assert relative(up(x, size), after) <= 1e-12


def test_constant_maps_stay_constant_by_interpolation_and_not_by_transposed_convolution() -> None:
    x = torch.ones(1, 3, 4, 4, dtype=torch.float64)
    smooth = randomised(UpConv(3, 2, "bilinear").double())(x, (8, 8))
    assert relative(smooth, smooth[:, :, :1, :1].expand_as(smooth)) <= 1e-12
    blocky = randomised(UpConv(3, 2).double())(x, (8, 8))
    assert blocky.std() > 0.1 and torch.equal(blocky[:, :, :2, :2], blocky[:, :, 2:4, 4:6])

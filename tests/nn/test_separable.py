"""The depthwise-separable block against timm's, its order, and what is gained by it."""

from __future__ import annotations

import pytest
import torch
from parity import noise, randomised, worst
from timm.models._efficientnet_blocks import DepthwiseSeparableConv as Theirs
from torch import nn

from lamplighter.nn.separable import DepthwiseSeparableConv


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), (5, 2, 1), (3, 1, 2)])
def test_equals_timms(kernel: int, stride: int, dilation: int) -> None:
    options = {"stride": stride, "dilation": dilation, "noskip": True, "act_layer": nn.ReLU6, "pw_act": True}
    theirs = randomised(Theirs(6, 10, kernel, **options).double())
    ours = DepthwiseSeparableConv(6, 10, kernel, stride, dilation).double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    found = worst(ours, theirs, (noise(2, 6, 9, 8),))
    assert max(found.values()) <= 1e-10, found


def test_norm_and_activation_follow_each_convolution() -> None:
    order = [type(module).__name__ for module in DepthwiseSeparableConv(4, 8).children()]
    assert order == ["Conv2d", "BatchNorm2d", "ReLU6", "Conv2d", "BatchNorm2d", "ReLU6"]


def test_without_what_is_between_the_pair_would_be_one_convolution() -> None:
    """A depthwise and a 1x1 convolution in a row are a 3x3 convolution of rank one in each channel."""
    block = DepthwiseSeparableConv(4, 6).double()
    x = noise(2, 4, 7, 7)
    pair = block.conv_pw(block.conv_dw(x))
    kernel = torch.einsum("oi,ihw->oihw", block.conv_pw.weight[:, :, 0, 0], block.conv_dw.weight[:, 0])
    torch.testing.assert_close(pair, nn.functional.conv2d(x, kernel, padding=1), rtol=1e-10, atol=1e-12)
    block.train()
    assert (block(x) - pair.clamp(0, 6)).abs().max() > 0.1


@pytest.mark.parametrize(("out", "gain"), [(16, 5.76), (64, 7.89), (128, 8.41), (1024, 8.92)])
def test_the_gain_in_weights_grows_with_the_outputs(out: int, gain: float) -> None:
    def weights(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters() if p.dim() == 4)

    ours = weights(DepthwiseSeparableConv(32, out))
    assert ours == 32 * 9 + 32 * out
    assert round(9 * 32 * out / ours, 2) == gain

"""Inverted residuals against torchvision's of MobileNetV2 and V3."""

from __future__ import annotations

from functools import partial

import pytest
from parity import noise, randomised, worst
from torch import nn
from torchvision.models import mobilenetv2, mobilenetv3

from lamplighter.nn.inverted_residual import InvertedResidual, InvertedResidualSE


@pytest.mark.parametrize(("out", "stride", "expand"), [(8, 1, 6), (8, 1, 1), (12, 1, 6), (8, 2, 6)])
def test_v2_equals_torchvisions(out: int, stride: int, expand: int) -> None:
    theirs = randomised(mobilenetv2.InvertedResidual(8, out, stride, expand).double())
    ours = InvertedResidual(8, out, stride, expand).double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    found = worst(ours, theirs, (noise(3, 8, 9, 7),))
    assert max(found.values()) <= 1e-10, found
    assert ours.residual is (stride == 1 and out == 8)


@pytest.mark.parametrize("swish", [True, False])
@pytest.mark.parametrize("squeeze", [True, False])
@pytest.mark.parametrize(("hidden", "out", "kernel", "stride"), [(24, 8, 3, 1), (8, 8, 5, 1), (40, 16, 5, 2)])
def test_v3_equals_torchvisions(hidden: int, out: int, kernel: int, stride: int, squeeze: bool, swish: bool) -> None:
    config = mobilenetv3.InvertedResidualConfig(8, kernel, hidden, out, squeeze, "HS" if swish else "RE", stride, 1, 1)
    norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
    theirs = randomised(mobilenetv3.InvertedResidual(config, norm).double())
    activation = nn.Hardswish if swish else nn.ReLU
    ours = InvertedResidualSE(8, hidden, out, kernel, stride, squeeze, activation).double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    found = worst(ours, theirs, (noise(3, 8, 9, 7),))
    assert max(found.values()) <= 1e-10, found


def test_the_projection_is_linear() -> None:
    """No activation behind it: the block's output is negative where the map is."""
    assert isinstance(InvertedResidual(4, 6, 1, 2).conv[-1], nn.BatchNorm2d)
    assert [type(part) for part in InvertedResidualSE(4, 8, 6).block[-1]] == [nn.Conv2d, nn.BatchNorm2d]  # type: ignore[union-attr]

"""Squeeze and excitation against torchvision's, and its formula."""

from __future__ import annotations

import torch
import torchvision
from parity import noise, randomised, relative, worst
from torch import nn

from lamplighter.nn.squeeze_excite import SqueezeExcitation


def test_equals_torchvisions() -> None:
    for ours, options in (
        (SqueezeExcitation(12, 4), {}),
        (SqueezeExcitation(12, 4, gate=nn.Hardsigmoid), {"scale_activation": nn.Hardsigmoid}),
    ):
        theirs = randomised(torchvision.ops.SqueezeExcitation(12, 4, **options).double())
        ours.double().load_state_dict(theirs.state_dict(), strict=True)
        found = worst(ours, theirs, (noise(3, 12, 5, 4),))
        assert max(found.values()) <= 1e-10, found


def test_scales_each_channel_by_a_number_of_the_whole_map() -> None:
    layer = randomised(SqueezeExcitation(6, 3).double())
    x = noise(2, 6, 4, 5)
    mean = x.mean((2, 3))
    first, second = layer.fc1, layer.fc2
    inside = (mean @ first.weight[:, :, 0, 0].T + first.bias).relu()  # type: ignore[index,operator]
    gate = 1 / (1 + torch.exp(-(inside @ second.weight[:, :, 0, 0].T + second.bias)))  # type: ignore[index,operator]
    assert relative(layer(x), x * gate[:, :, None, None]) <= 1e-12
    assert relative(layer(x.flip(3)), layer(x).flip(3)) <= 1e-12

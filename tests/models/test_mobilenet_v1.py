"""MobileNet against timm's, and beside its twin of full convolutions. Parity: tests/support/parity_mobilenet.py."""

from __future__ import annotations

import timm
import torch
from parity import noise, randomised, relative
from torch import nn

from lamplighter import models
from lamplighter.nn.conv import ConvNormAct
from lamplighter.nn.separable import DepthwiseSeparableConv


def test_has_the_published_size() -> None:
    with torch.device("meta"):
        model = models.create("mobilenet_v1", in_channels=3, num_classes=1000)
        theirs = timm.create_model("mobilenetv1_100")
    assert [*model.state_dict()] == [*theirs.state_dict()]
    assert len(model.state_dict()) == 164
    assert sum(p.numel() for p in model.parameters()) == 4_231_976


def test_feature_maps_are_timms() -> None:
    reference = randomised(timm.create_model("mobilenetv1_100", features_only=True).double()).eval()
    ours = models.create("mobilenet_v1", in_channels=3, num_classes=2).double().eval()
    ours.load_state_dict(reference.state_dict(), strict=False)
    maps = ours.features(noise(1, 3, 64, 96))
    assert list(maps) == [f"blocks.{i}" for i in range(5)]
    for ours_map, theirs_map in zip(maps.values(), reference(noise(1, 3, 64, 96)), strict=True):
        assert relative(ours_map, theirs_map) <= 1e-12


def test_the_twin_has_full_convolutions_in_the_same_places() -> None:
    def kernels(model: nn.Module) -> int:
        return sum(p.numel() for p in model.blocks.parameters() if p.dim() == 4)

    ours, twin = (
        models.create("mobilenet_v1", in_channels=3, num_classes=2, width_mult=0.5, separable=separable)
        for separable in (True, False)
    )
    assert sum(isinstance(m, DepthwiseSeparableConv) for m in ours.modules()) == 13
    assert sum(isinstance(m, ConvNormAct) for m in twin.modules()) == 13
    x = torch.zeros(1, 3, 64, 64)
    assert [m.shape for m in ours.features(x).values()] == [m.shape for m in twin.features(x).values()]
    assert 8 < kernels(twin) / kernels(ours) < 9
    with torch.device("meta"):
        full = models.create("mobilenet_v1", in_channels=3, num_classes=1000, separable=False)
    widths = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
    weights = sum(9 * before * after for before, after in zip([3, *widths], widths))
    assert sum(p.numel() for p in full.parameters()) == weights + 2 * sum(widths) + 1025 * 1000 == 29_294_088


def test_the_small_stem_leaves_out_the_first_two_halvings() -> None:
    small = models.create("mobilenet_v1", in_channels=1, num_classes=2, width_mult=0.25, stem="small").eval()
    assert [m.shape[2] for m in small.features(torch.zeros(1, 1, 32, 32)).values()] == [32, 32, 16, 8, 4]


def test_the_width_multiplies_every_layer() -> None:
    half = models.create("mobilenet_v1", in_channels=1, num_classes=2, width_mult=0.5)
    assert half.conv_stem.out_channels == 16 and half.head.in_features == 512

"""MobileNetV2 against torchvision's. Parity: tests/support/parity_mobilenet.py."""

from __future__ import annotations

import pytest
import torch
import torchvision
from parity import noise, randomised, relative
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from lamplighter import models

NAMES = ["features.1", "features.3", "features.6", "features.13", "features.18"]


@pytest.mark.parametrize("width", [1.0, 0.5, 1.4])
def test_is_made_of_torchvisions_layers_in_torchvisions_order(width: float) -> None:
    with torch.device("meta"):
        ours = models.create("mobilenet_v2", in_channels=3, num_classes=1000, width_mult=width)
        theirs = torchvision.models.mobilenet_v2(width_mult=width)
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    layers = (nn.Conv2d, nn.BatchNorm2d, nn.Linear, nn.ReLU6, nn.Dropout)
    assert {n: repr(m) for n, m in ours.named_modules() if isinstance(m, layers)} == {
        n: repr(m) for n, m in theirs.named_modules() if isinstance(m, layers)
    }


def test_has_the_published_size() -> None:
    model = models.create("mobilenet_v2", in_channels=3, num_classes=1000)
    assert len(model.state_dict()) == 314
    assert sum(p.numel() for p in model.parameters()) == 3_504_872


def test_feature_maps_have_torchvisions_names_and_numbers() -> None:
    reference = randomised(torchvision.models.mobilenet_v2(num_classes=2).double()).eval()
    ours = models.create("mobilenet_v2", in_channels=3, num_classes=2).double().eval()
    models.load_reference(ours, reference.state_dict())
    theirs = create_feature_extractor(reference, NAMES)(noise(1, 3, 64, 96))
    maps = ours.features(noise(1, 3, 64, 96))
    assert list(maps) == NAMES
    assert [m.shape[2] for m in maps.values()] == [32, 16, 8, 4, 2]
    assert all(relative(maps[name], theirs[name]) <= 1e-12 for name in NAMES)


def test_the_small_stem_leaves_out_the_first_two_halvings() -> None:
    small = models.create("mobilenet_v2", in_channels=1, num_classes=2, width_mult=0.25, stem="small").eval()
    assert [m.shape[2] for m in small.features(torch.zeros(1, 1, 32, 32)).values()] == [32, 16, 8, 4]
    assert small.features[0][0].stride == (1, 1) and small.features[2].conv[1][0].stride == (1, 1)


def test_the_last_layer_starts_small() -> None:
    head = models.create("mobilenet_v2", in_channels=1, num_classes=100).head
    assert abs(head.weight.std().item() / 0.01 - 1) < 0.02 and (head.bias == 0).all()

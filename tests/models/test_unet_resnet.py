"""U-Nets with a ResNet encoder against smp's. Parity: tests/support/parity_segmentation.py."""

from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
import torch
import torchvision
from parity import noise, randomised, relative

from lamplighter import models
from lamplighter.core.errors import WeightsError
from lamplighter.models.weights.loading import load


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_tensors_are_smps(depth: int) -> None:
    with torch.device("meta"):
        ours = models.create(f"unet_resnet{depth}", in_channels=3, num_classes=1)
    theirs = smp.Unet(f"resnet{depth}", encoder_weights=None).state_dict()
    assert {n: t.shape for n, t in ours.state_dict().items()} == {n: t.shape for n, t in theirs.items()}
    assert depth != 18 or len(theirs) == 182


def test_has_smps_size() -> None:
    model = models.create("unet_resnet18", in_channels=3, num_classes=1)
    assert sum(p.numel() for p in model.parameters()) == 14_328_209


@pytest.mark.parametrize("size", [(1, 1), (50, 50), (31, 65)])
@pytest.mark.parametrize("stem", ["imagenet", "small"])
def test_any_image_gives_a_map_of_its_size(size: tuple[int, int], stem: str) -> None:
    model = models.create("unet_resnet18", in_channels=2, num_classes=3, stem=stem).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 2, *size)).shape == (1, 3, *size)


def test_a_resnets_own_file_fills_the_encoder() -> None:
    reference = randomised(torchvision.models.resnet18().double()).eval()
    model = models.create("unet_resnet18", in_channels=3, num_classes=2).double().eval()
    with pytest.raises(WeightsError, match="missing in the file"):
        models.load_reference(model, reference.state_dict())
    report = load(model, reference.state_dict(), strict=False)
    assert report.layout == "its encoder alone" and len(report.loaded) == 120
    assert report.unexpected == ("encoder.fc.bias", "encoder.fc.weight")
    x = noise(1, 3, 33, 40)
    seen = reference.layer1(reference.maxpool(reference.relu(reference.bn1(reference.conv1(x)))))
    assert relative(model.features(x)["layer1"], seen) <= 1e-12

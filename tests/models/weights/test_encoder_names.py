"""The encoder's layout; loading through it: tests/models/test_unet_resnet.py, tests/models/test_deeplabv3.py."""

from __future__ import annotations

import torch

from lamplighter import models
from lamplighter.models.weights.encoder_names import encoder_alone
from lamplighter.models.weights.layouts import fitting


def test_every_name_gets_the_prefix() -> None:
    tensors = {"conv1.weight": torch.zeros(1), "layer1.0.bn1.bias": torch.ones(1)}
    renamed = encoder_alone("backbone").translate(tensors)
    assert renamed == {f"backbone.{name}": tensor for name, tensor in tensors.items()}


def test_a_whole_file_keeps_its_own_names() -> None:
    model = models.create("unet_resnet18", in_channels=3, num_classes=2)
    assert fitting(model.state_dict(), model)[0].name == "the model's own names"
    encoder = models.create("resnet18", in_channels=3, num_classes=2).state_dict()
    assert fitting(encoder, model)[0].name == "its encoder alone"

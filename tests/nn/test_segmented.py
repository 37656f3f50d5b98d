"""The exported segmentation network: normalised, logits of the model itself, the coarsest map's mean beside them."""

from __future__ import annotations

import torch
from torch import nn

from lamplighter.models.unet import UNet
from lamplighter.nn.input_norm import InputNorm
from lamplighter.nn.segmented import SegmentedNetwork


def test_logits_are_the_models_and_the_embedding_the_mean_of_the_coarsest_map() -> None:
    torch.manual_seed(0)
    model, norm = UNet(2, 3, width=4, depth=2).eval(), InputNorm([100.0, 50.0], [20.0, 10.0])
    network = SegmentedNetwork(norm, model)
    x = torch.randint(0, 256, (2, 2, 9, 11), dtype=torch.uint8)
    with torch.inference_mode():
        logits, embedding = network(x)
        torch.testing.assert_close(logits, model(norm(x)))
        maps = list(model.features(norm(x)).values())
        coarsest = min(maps, key=lambda found: found[0, 0].numel())
        torch.testing.assert_close(embedding, coarsest.mean(dim=(2, 3)))
    assert network.embeds and embedding.shape == (2, 16)


def test_a_network_without_features_gives_logits_alone() -> None:
    network = SegmentedNetwork(nn.Identity(), nn.Conv2d(1, 4, 1))
    assert not network.embeds and [tuple(out.shape) for out in network(torch.zeros(1, 1, 3, 5))] == [(1, 4, 3, 5)]

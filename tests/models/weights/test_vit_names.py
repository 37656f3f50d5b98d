"""Vision Transformers saved by timm load, and compute the same."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from parity import noise, randomised, relative

from lamplighter import models
from lamplighter.models.weights.guess import architecture
from lamplighter.models.weights.vit_names import from_timm


def pair(size: int, **options: Any) -> tuple[Any, Any]:
    theirs = timm.models.VisionTransformer(
        img_size=size, patch_size=4, embed_dim=24, depth=2, num_heads=3, mlp_ratio=2, num_classes=5, **options
    )
    ours = models.create(
        "vit",
        in_channels=3,
        num_classes=5,
        image_size=size,
        num_layers=2,
        num_heads=3,
        hidden_dim=24,
        mlp_dim=48,
        register_tokens=options.get("reg_tokens", 0),
    )
    return ours.double().eval(), randomised(theirs.double()).eval()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"no_embed_class": True},
        {"reg_tokens": 3},
        {"reg_tokens": 3, "no_embed_class": True},
    ],
)
def test_loads_and_computes_the_same(options: dict[str, Any]) -> None:
    """Also where registers have positions, or the class token has none."""
    ours, theirs = pair(20, **options)
    report = models.load_reference(ours, theirs.state_dict())
    assert report.layout == "timm" and report.complete and not report.notes
    assert relative(ours(noise(2, 3, 20, 20)), theirs(noise(2, 3, 20, 20))) <= 1e-10


def test_a_network_with_layer_scale_is_another_and_refused() -> None:
    ours, theirs = pair(20, init_values=0.1)
    with pytest.raises(Exception, match=r"left over: 4: blocks\.0\.ls1\.gamma"):
        models.load_reference(ours, theirs.state_dict())


def test_names_it_does_not_know_stay() -> None:
    assert set(from_timm({"conv1.weight": torch.zeros(1), "blocks.0.x": torch.zeros(1)})) == {
        "conv1.weight",
        "blocks.0.x",
    }


def test_timms_base_network_is_recognised() -> None:
    with torch.device("meta"):
        tensors = timm.create_model("vit_base_patch16_224").state_dict()
    assert architecture(tensors) == "vit_b_16"

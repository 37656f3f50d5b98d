"""Vision Transformers: size, positions of other grids, registers. Parity: tests/support/parity_vit.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from parity import noise, randomised, relative
from torch import Tensor
from torchvision.models.vision_transformer import interpolate_embeddings

from lamplighter import models
from lamplighter.core.errors import LamplighterError, WeightsError
from lamplighter.models.vit import resized
from lamplighter.nn.attention import recorded_weights

SMALL: dict[str, Any] = {"patch_size": 4, "num_layers": 2, "num_heads": 3, "hidden_dim": 24, "mlp_dim": 40}


def vit(**options: Any) -> Any:
    model = models.create("vit", **{"in_channels": 3, "num_classes": 5, "image_size": 16} | SMALL | options)
    return randomised(model.double()).eval()


@pytest.mark.parametrize(
    ("name", "keys", "parameters"),
    [("vit_b_16", 152, 86_567_656), ("vit_b_32", 152, 88_224_232), ("vit_l_16", 296, 304_326_632)],
)
def test_has_the_published_size(name: str, keys: int, parameters: int) -> None:
    with torch.device("meta"):
        model = models.create(name, in_channels=3, num_classes=1000)
        theirs = getattr(torchvision.models, name)()
    assert {n: t.shape for n, t in model.state_dict().items()} == {n: t.shape for n, t in theirs.state_dict().items()}
    assert (len(model.state_dict()), sum(p.numel() for p in model.parameters())) == (keys, parameters)


def test_an_image_is_not_seen_by_the_others_of_its_batch_and_every_patch_counts() -> None:
    model = vit()
    x = noise(4, 3, 16, 16).requires_grad_()
    together = model(x)
    for row in range(4):
        assert relative(model(x[row : row + 1])[0], together[row]) <= 1e-12
    (gradient,) = torch.autograd.grad(together[1].sum(), x)
    assert (gradient[[0, 2, 3]] == 0).all()
    assert (gradient[1].abs().sum(0).unfold(0, 4, 4).unfold(1, 4, 4).sum((2, 3)) > 0).all()
    assert relative(model(x + 1), together) > 1e-2


def test_the_start_already_tells_images_apart() -> None:
    """torchvision's head is 0 at the start; ours is small."""
    torch.manual_seed(0)
    model = models.create("vit", in_channels=3, num_classes=5, image_size=16)
    assert abs(model.head.weight.std().item() / 0.02 - 1) < 0.1
    answers = model(torch.randn(2, 3, 16, 16))
    assert (answers[0] - answers[1]).abs().max() > 1e-3
    assert (torchvision.models.VisionTransformer(16, **SMALL).heads.head.weight == 0).all()


def test_without_positions_the_order_of_patches_does_not_matter() -> None:
    """And with them it does."""
    model = vit()
    x = noise(1, 3, 16, 16)
    mixed = x.view(1, 3, 4, 4, 16)[:, :, [2, 0, 3, 1]].reshape(1, 3, 16, 16)  # rows of patches
    assert relative(model(mixed), model(x)) > 1e-3
    model.encoder.pos_embedding.data.zero_()
    assert relative(model(mixed), model(x)) <= 1e-12


# Positions of other grids


@pytest.mark.parametrize("size", [12, 24, 32])
def test_another_image_size_is_served_as_torchvisions_function_would(size: int) -> None:
    reference = randomised(torchvision.models.VisionTransformer(16, num_classes=5, **SMALL).double()).eval()
    ours = vit()
    models.load_reference(ours, reference.state_dict())
    larger = torchvision.models.VisionTransformer(size, num_classes=5, **SMALL).double().eval()
    larger.load_state_dict(interpolate_embeddings(size, 4, reference.state_dict()))
    x = noise(2, 3, size, size)
    assert relative(ours(x), larger(x)) <= 1e-10
    # and a checkpoint is resampled when it is loaded
    built = vit(image_size=size)
    report = models.load_reference(built, reference.state_dict())
    assert report.notes == (f"encoder.pos_embedding: 4x4 positions interpolated to {size // 4}x{size // 4}",)
    assert relative(built(x), larger(x)) <= 1e-10


def test_sides_may_differ() -> None:
    assert vit(image_size=(8, 20))(noise(2, 3, 8, 20)).shape == (2, 5)
    assert vit()(noise(2, 3, 8, 20)).shape == (2, 5)
    maps = vit(image_size=(8, 20)).features(noise(2, 3, 8, 20))
    assert maps["encoder_layer_1"].shape == (2, 24, 2, 5)


def test_grids_of_unequal_sides_are_interpolated_along_the_right_axes() -> None:
    wide, tall = vit(image_size=(8, 20)), vit(image_size=(16, 12))
    tensors = wide.state_dict()
    tensors["encoder.pos_embedding"] = resized(tensors["encoder.pos_embedding"], (2, 5), (4, 3))
    tall.load_state_dict(tensors)
    x = noise(2, 3, 16, 12)
    assert relative(wide(x), tall(x)) <= 1e-12
    rows = torch.tensor([0.0, 1, 1, 1, 3, 3, 3]).view(1, 7, 1)  # every position is its row's number
    assert resized(rows, (2, 3), (3, 2)).flatten().tolist() == [0, 1, 1, 2, 2, 3, 3]


def test_the_same_grid_is_not_touched() -> None:
    positions = noise(1, 17, 6)
    assert relative(resized(positions, (4, 4), (4, 4)), positions) <= 1e-12
    assert torch.equal(resized(positions, (4, 4), (7, 3))[:, :1], positions[:, :1])


def test_positions_of_no_square_grid_are_refused() -> None:
    tensors = vit(image_size=(8, 20)).state_dict()
    with pytest.raises(WeightsError, match=r"encoder\.pos_embedding 1x11x24 for 1x17x24"):
        models.load_reference(vit(), tensors)


# Options


def test_registers_take_part_and_are_not_shown() -> None:
    model = vit(register_tokens=2)
    x = noise(2, 3, 16, 16)
    with recorded_weights() as weights:
        answer = model(x)
    assert [w.shape for w in weights] == [(2, 3, 19, 19)] * 2
    assert model.features(x)["encoder_layer_1"].shape == (2, 24, 4, 4)
    model.register_tokens.data += noise(1, 2, 24)
    assert relative(model(x), answer) > 1e-3


def test_maps_are_the_patches_tokens_in_their_places() -> None:
    model = vit(register_tokens=2)
    x = noise(1, 3, 16, 16)
    model.pool = "mean"
    last = model.features(x)["encoder_layer_1"]
    assert relative(model.forward_features(x), last.mean((2, 3))) <= 1e-12
    # With no attention, each place of the map depends on its own patch.
    for block in model.encoder.layers:
        block.self_attention.out_proj.weight.data.zero_()
    before = model.features(x)["encoder_layer_1"]
    changed = x.clone()
    changed[:, :, 4:8, 8:12] += 1
    moved = (model.features(changed)["encoder_layer_1"] - before).abs().sum(1)[0] > 1e-9
    assert moved.nonzero().tolist() == [[1, 2]]


@pytest.mark.parametrize("pool", ["token", "mean", "attention"])
def test_pools_differ_and_train(pool: str) -> None:
    model = vit(pool=pool).train()
    model(noise(2, 3, 16, 16)).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_stochastic_depth_leaves_out_blocks_in_training_alone() -> None:
    model = vit(stochastic_depth=0.9)
    x = noise(8, 3, 16, 16)
    assert [block.skip.p for block in model.encoder.layers] == [0.45, 0.9]
    assert torch.equal(model(x), model(x))
    model.train()
    torch.manual_seed(0)
    assert not torch.equal(model(x), model(x))
    block, tokens = model.encoder.layers[0], noise(2, 5, 24)
    block.skip.p = 1.0
    assert torch.equal(block(tokens), tokens), "a branch is left that stochastic depth does not reach"


# What does not fit


def test_what_does_not_fit_is_named() -> None:
    def create(**options: Any) -> Any:
        return models.create("vit", **{"in_channels": 3, "num_classes": 5, "image_size": 16} | options)

    with pytest.raises(LamplighterError, match=r"30x30 pixels is not divisible by patch_size=8 \(conv_proj\)"):
        create(image_size=30, patch_size=8)
    with pytest.raises(LamplighterError, match=r"hidden_dim=10 is not divisible by num_heads=3 \(self_attention\)"):
        create(hidden_dim=10, num_heads=3)
    with pytest.raises(LamplighterError, match=r"18x16 pixels is not divisible by patch_size=4"):
        create()(torch.zeros(1, 3, 18, 16))
    with pytest.raises(LamplighterError, match="have 1 channels"):
        create()(torch.zeros(1, 1, 16, 16))
    with pytest.raises(LamplighterError, match="9x12 pixels is not divisible by patch_size=16"):
        models.create("vit_b_16", in_channels=3, num_classes=5, image_size=(9, 12))


def toy(seed: int) -> tuple[Tensor, Tensor]:
    """Bright or dark images in noise."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(64) % 2
    return torch.randn(64, 1, 8, 8, generator=generator) + (2.0 * y - 1).view(-1, 1, 1, 1), y


def test_learns_what_attention_across_the_batch_cannot() -> None:
    """Bright against dark, where a network that mixes up batch and sequence stays at chance."""
    torch.manual_seed(0)
    model = models.create("vit", in_channels=1, num_classes=2, image_size=8, hidden_dim=16, mlp_dim=32, num_layers=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for step in range(30):
        x, y = toy(step)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    x, y = toy(1000)
    assert (model.eval()(x).argmax(1) == y).float().mean() > 0.95

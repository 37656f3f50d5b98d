"""The classic U-Net: its size, any image, and what crosses over. Parity: tests/support/parity_segmentation.py."""

from __future__ import annotations

import pytest
import torch
from parity import noise, randomised, relative
from torch import nn

from lamplighter import models


def unet(**options: object) -> nn.Module:
    return models.create("unet", **{"in_channels": 2, "num_classes": 3, "width": 4} | options).eval()  # type: ignore[no-any-return]


def test_has_the_classics_size() -> None:
    with torch.device("meta"):
        model = models.create("unet", in_channels=1, num_classes=1, norm="none")
        tables = [p.numel() for p in models.create("unet", in_channels=3, num_classes=21).parameters()]
    assert sum(p.numel() for p in model.parameters()) == 31_030_593
    assert sum(tables) == 31_038_933
    assert [m.shape[0] for m in model.down[-1].parameters()] == [1024] * 4


@pytest.mark.parametrize("up", ["transposed", "bilinear"])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (8, 15), (17, 17), (16, 16), (250, 33)])
def test_any_image_gives_a_map_of_its_size(size: tuple[int, int], up: str) -> None:
    assert unet(up=up)(torch.zeros(2, 2, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("up", ["transposed", "bilinear"])
def test_an_image_of_any_size_is_the_corner_of_none(up: str) -> None:
    """Cutting the way up to the map it meets keeps positions: with one extra row, others change at the border alone."""
    model = randomised(unet(up=up, depth=2, norm="none").double())
    x = noise(1, 2, 64, 64)
    inside, whole = model(x[:, :, :63, :63]), model(x)
    assert relative(inside[:, :, :40, :40], whole[:, :, :40, :40]) <= (1e-12 if up == "transposed" else 0.5)


def test_maps_halve_and_double() -> None:
    maps = unet().features(torch.zeros(1, 2, 33, 16))  # type: ignore[operator]
    assert {name: tuple(m.shape[1:]) for name, m in maps.items()} == {
        "down.0": (4, 33, 16),
        "down.1": (8, 17, 8),
        "down.2": (16, 9, 4),
        "down.3": (32, 5, 2),
        "down.4": (64, 3, 1),
    }


def test_every_level_reaches_the_answer() -> None:
    """A change of any map of the way down changes the answer: none is dropped on the way up."""
    model = randomised(unet().double()).eval()
    x = noise(1, 2, 32, 32)
    maps = model.features(x)  # type: ignore[operator]
    answer = model.decode(maps, (32, 32))  # type: ignore[operator]
    for name in maps:
        changed = model.decode(maps | {name: maps[name] + 1}, (32, 32))  # type: ignore[operator]
        assert relative(changed, answer) > 1e-5, name


def test_logits_not_probabilities() -> None:
    model = randomised(unet().double()).eval()
    answer = 20 * model(noise(1, 2, 16, 16))
    assert answer.min() < 0 and answer.max() > 1
    assert not [m for m in model.modules() if isinstance(m, nn.Sigmoid | nn.Softmax)]


def test_a_norm_makes_the_bias_idle() -> None:
    assert not [n for n, _ in unet(norm="batch").named_parameters() if n.startswith("down.0.0.b")]
    assert [n for n, _ in unet(norm="none").named_parameters() if n.startswith("down.0.0.b")]


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_learns_to_mark_bright_squares(norm: str) -> None:
    """Squares in noise, 30 steps on one batch: the share of right pixels, beside that of the commonest class."""
    torch.manual_seed(0)
    model = models.create("unet", in_channels=1, num_classes=2, width=4, depth=2, norm=norm)
    x, y = 0.5 * torch.randn(16, 1, 17, 20), torch.zeros(16, 17, 20, dtype=torch.long)
    for row in range(16):
        top, left = row % 8, (3 * row) % 11
        x[row, 0, top : top + 8, left : left + 8] += 2
        y[row, top : top + 8, left : left + 8] = 1
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    hits = (model.eval()(x).argmax(1) == y).float().mean().item()
    assert hits > 0.95 > (y == 0).float().mean().item() + 0.1

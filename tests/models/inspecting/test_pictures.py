"""Pictures (kernels, feature_maps, attention_maps, and their grids): what they show, and what they refuse."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lamplighter import models
from lamplighter.core.errors import LamplighterError
from lamplighter.models.inspecting import attention_maps, feature_maps, grids, kernels


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def coloured(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(picture - np.array(colour)).max(-1) <= 3).sum())


def test_kernels_over_three_channels_are_in_their_colours(tmp_path: Path) -> None:
    conv = nn.Conv2d(3, 2, 2)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([0.0, 0.0, 0.0])[:, None, None].expand(3, 2, 2))
        conv.weight[0, 0] = 1.0  # red everywhere
        conv.weight[1, 1] = 1.0  # green
    picture = pixels(kernels.kernels(nn.Sequential(conv), tmp_path / "k.png"))
    assert coloured(picture, (255, 0, 0)) > 500 and coloured(picture, (0, 255, 0)) > 500
    assert coloured(picture, (0, 0, 255)) == 0


def test_other_kernels_are_blue_to_red_on_one_scale(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 1))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1))
    picture = pixels(models.kernels(net, tmp_path / "k.png"))
    assert coloured(picture, (103, 0, 31)) > 500 and coloured(picture, (5, 48, 97)) > 500  # ends of RdBu
    with pytest.raises(LamplighterError, match=r"no 2-D convolution '7'; there are: 1, 2"):
        models.kernels(net, tmp_path / "k.png", layer="7")
    with pytest.raises(LamplighterError, match="Linear has no 2-D convolution"):
        models.kernels(nn.Linear(2, 2), tmp_path / "k.png")


def test_feature_maps_show_where_a_channel_answers(tmp_path: Path) -> None:
    conv = nn.Conv2d(1, 2, 1, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([1.0, 0.0]).view(2, 1, 1, 1))
    net = nn.Sequential(conv, nn.Flatten(), nn.Linear(32, 2)).train()
    image = torch.zeros(1, 4, 4)
    image[:, :2] = 1.0  # the upper half
    picture = pixels(models.feature_maps(net, image, tmp_path / "f.png"))
    bright, dark, grey = (252, 253, 191), (0, 0, 3), (183, 55, 121)  # magma at 1, 0 and 1/2; words are (0, 0, 0)
    where_bright, where_dark = ((np.abs(picture - np.array(c)).max(-1) <= 1).nonzero()[0] for c in (bright, dark))
    assert where_bright.max() < where_dark.min()
    assert coloured(picture, grey) > 1000  # the channel that answers nothing
    assert net.training and not net[0]._forward_hooks


def test_feature_maps_that_cannot_be(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(32, 2))
    with pytest.raises(LamplighterError, match=r"layer '2' gives \(1, 2\); maps \(N, C, H, W\)"):
        models.feature_maps(net, torch.zeros(1, 4, 4), tmp_path / "f.png", layer="2")
    with pytest.raises(LamplighterError, match="no layer 'conv'"):
        feature_maps.feature_maps(net, torch.zeros(1, 4, 4), tmp_path / "f.png", layer="conv")


def test_attention_maps_have_heads_names_and_one_scale(tmp_path: Path) -> None:
    weights = torch.stack([torch.eye(3), torch.full((3, 3), 1 / 3)])
    path = models.attention_maps(weights, tmp_path / "a.svg", ["the", "lamp", "$5 & <b>"], title="layer 0")
    words = [e.text for e in ElementTree.parse(path).getroot().iter("{http://www.w3.org/2000/svg}text")]
    assert {"head 0", "head 1", "the", "lamp", "layer 0", "weight"} <= set(words)
    assert words.count("$5 & <b>") == 4 or words.count(r"\$5 & <b>") == 0
    cross = models.attention_maps(torch.rand(2, 5), tmp_path / "c.png", ["q0", "q1"], [f"k{i}" for i in range(5)])
    assert pixels(cross).size


def test_attention_maps_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(LamplighterError, match="2 names of queries for 3 positions"):
        models.attention_maps(torch.eye(3), tmp_path / "a.png", ["a", "b"])
    with pytest.raises(LamplighterError, match=r"not \(1, 2, 3, 3\)"):
        attention_maps.attention_maps(torch.zeros(1, 2, 3, 3), tmp_path / "a.png")


def test_file_names_and_spreading(tmp_path: Path) -> None:
    figure, axes = grids.figure(5, 1.0, 1.0)
    assert len(axes) == 5
    with pytest.raises(LamplighterError, match=r"must end in \.png or \.svg"):
        grids.save(figure, tmp_path / "a.gif")
    with pytest.raises(LamplighterError, match="does not exist"):
        grids.save(figure, tmp_path / "none" / "a.png")
    assert [*grids.spread(5, 9)] == [0, 1, 2, 3, 4] and [*grids.spread(101, 5)] == [0, 25, 50, 75, 100]
    assert grids.stretched(np.array([2.0, 2.0])).tolist() == [0.5, 0.5]

"""The door of image models."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lamplighter.core.errors import LamplighterError
from lamplighter.nn.image_input import image_input


def test_images_take_the_number_type_of_the_weights() -> None:
    first = nn.Conv2d(3, 8, 3).double()
    x = torch.full((1, 3, 2, 2), 200, dtype=torch.uint8)
    assert image_input(x, first, "m").dtype == torch.float64 and image_input(x, first, "m").max() == 200


def test_others_are_refused() -> None:
    first = nn.Conv2d(3, 8, 3)
    with pytest.raises(LamplighterError, match="m: the images have 1 channels, the model was built with in_channels=3"):
        image_input(torch.zeros(1, 1, 4, 4), first, "m")
    for shape in ((3, 4, 4), (1, 3, 4, 4, 4), (5,)):
        with pytest.raises(LamplighterError, match=r"m: expects images \(N, C, H, W\), not a tensor of shape"):
            image_input(torch.zeros(shape), first, "m")

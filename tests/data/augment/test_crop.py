"""Random cuts, with their masks."""

from __future__ import annotations

import pytest
import torch

from lamplighter.core.errors import DataError
from lamplighter.data.augment.crop import RandomCrop


def ramps(rows: int = 200, height: int = 6, width: int = 8) -> dict[str, torch.Tensor]:
    """Each pixel says where it was."""
    places = torch.arange(height * width).reshape(1, 1, height, width).expand(rows, 2, height, width)
    return {"x": places.clone(), "y": places[:, 0].clone()}


def test_every_place_comes_up_and_mask_and_image_agree() -> None:
    cut = RandomCrop(4, 5)(ramps(), torch.Generator().manual_seed(0))
    assert cut["x"].shape == (200, 2, 4, 5)
    assert torch.equal(cut["x"][:, 0], cut["y"])
    corners = cut["y"][:, 0, 0]
    assert set(corners.tolist()) == {8 * row + column for row in range(3) for column in range(4)}
    assert torch.equal(cut["y"] - corners[:, None, None], (cut["y"] - corners[:, None, None])[:1].expand(200, 4, 5))


def test_the_place_lies_within_what_was_not_filled_up() -> None:
    batch = {**ramps(), "original_size": torch.tensor([[5, 6]]).expand(200, 2)}
    cut = RandomCrop(4, 5)(batch, torch.Generator().manual_seed(0))
    assert set(cut["y"][:, 0, 0].tolist()) == {0, 1, 8, 9}
    assert "original_size" not in cut
    small = {**ramps(), "original_size": torch.tensor([[2, 2]]).expand(200, 2)}
    assert set(RandomCrop(4, 5)(small, torch.Generator().manual_seed(0))["y"][:, 0, 0].tolist()) == {0}


def test_an_axis_that_is_shorter_stays() -> None:
    assert RandomCrop(100, 3)(ramps(), torch.Generator())["x"].shape == (200, 2, 6, 3)


def test_classes_of_whole_images_stay_and_other_maps_are_refused() -> None:
    batch = {"x": torch.zeros(3, 1, 6, 6), "y": torch.tensor([1, 2, 3])}
    assert RandomCrop(2, 2)(batch, torch.Generator())["y"].tolist() == [1, 2, 3]
    with pytest.raises(DataError, match="cut a target"):
        RandomCrop(2, 2)({"x": torch.zeros(3, 1, 6, 6), "y": torch.zeros(3, 6, 6)}, torch.Generator())

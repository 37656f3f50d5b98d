"""Images brought to one size, or filled up to the largest; their own sizes remembered."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lamplighter.core.errors import LamplighterError
from lamplighter.core.seeding import generator
from lamplighter.data.preprocessing.fit import FitImages, padded
from lamplighter.data.preprocessing.pipeline import Pipeline, own_sizes


def picture(height: int, width: int) -> np.ndarray:
    return generator(0, "fit", height, width).integers(1, 256, (height, width, 3), dtype=np.uint8)


def test_resized_images_are_pillows_and_know_where_they_came_from() -> None:
    images = [picture(8, 9), picture(5, 4)]
    fitted = FitImages(height=6, width=7)(images)
    for image, row in zip(images, fitted["x"]):
        wanted = np.asarray(Image.fromarray(image).resize((7, 6), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(row.transpose(1, 2, 0), wanted)
    assert fitted["original_size"].tolist() == [[8, 9], [5, 4]]


def test_images_that_keep_their_size_are_filled_up_at_the_bottom_and_on_the_right() -> None:
    images = [picture(8, 3), picture(5, 9)]
    step = FitImages()
    fitted = step(images)
    assert fitted["x"].shape == (2, 3, 8, 9) and fitted["x"].dtype == np.uint8
    for image, row in zip(images, fitted["x"]):
        height, width = image.shape[:2]
        np.testing.assert_array_equal(row[:, :height, :width].transpose(1, 2, 0), image)
        assert row[:, height:].sum() == 0 and row[:, :, width:].sum() == 0
    assert own_sizes([step], fitted) is fitted["original_size"]
    assert own_sizes([FitImages(4, 4)], fitted) is None


def test_only_one_side_is_no_size() -> None:
    with pytest.raises(LamplighterError, match="both height and width"):
        FitImages(height=3)


def test_it_ends_a_pipeline() -> None:
    pipeline = Pipeline([{"name": "decode-image", "channels": 1}, {"name": "fit-images"}])
    fitted = pipeline([np.full((2, 3), 7, np.uint8), np.full((1, 1), 9, np.uint8)])
    assert fitted["x"][1, 0].tolist() == [[9, 0, 0], [0, 0, 0]]


def test_masks_are_filled_up_with_what_does_not_count() -> None:
    assert [part.tolist() for part in padded([np.zeros((1, 2)), np.ones((2, 1))], fill=-1)] == [
        [[0, 0], [-1, -1]],
        [[1, -1], [1, -1]],
    ]

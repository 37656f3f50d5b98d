"""Scenes: made of real garments, each once, with outlines that fit; the same for everyone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.data.sources import fashion_scenes
from lamplighter.data.sources.fashion_scenes import GROUPS, LABELS, compose, outline, photographs


def squares(count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Garments that are a bright square of 12 x 12 pixels in the middle."""
    garments = np.zeros((count, 28, 28), np.uint8)
    garments[:, 8:20, 8:20] = 255
    return garments, np.arange(count) % 10


BACKGROUND = [np.full((60, 70), 10, np.uint8)]


def test_masks_are_where_garments_are() -> None:
    images, masks = compose(*squares(), BACKGROUND, 10, 48, "x")
    assert images.shape == masks.shape == (10, 48, 48) and masks.dtype == np.int16
    assert (images[masks == 0] == 10).all(), "nothing but background outside of garments"
    inside = images[masks > 0]
    assert (inside > 100).mean() > 0.85, "garments are bright, but for the smoothed border"
    assert 1 <= len(np.unique(masks[masks > 0])) <= len(LABELS) - 1


def test_each_garment_is_used_once(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    kept = fashion_scenes._put

    def spy(image: Any, mask: Any, garment: np.ndarray, code: int, rng: Any) -> None:
        used.append(int(garment[0, 0]))
        kept(image, mask, garment, code, rng)

    monkeypatch.setattr(fashion_scenes, "_put", spy)
    garments, labels = squares(100)
    garments[:, 0, 0] = np.arange(100)
    compose(garments, labels, BACKGROUND, 30, 48, "x")
    assert len(used) == len(set(used)) >= 30


def test_the_class_is_that_of_the_garment() -> None:
    garments, _ = squares()
    for label in range(10):
        _, masks = compose(garments, np.full(40, label), BACKGROUND, 5, 48, "x")
        assert set(np.unique(masks)) <= {0, GROUPS[label]}


def test_scenes_are_the_same_for_everyone_and_differ_from_stream_to_stream() -> None:
    first, again = (compose(*squares(), BACKGROUND, 5, 48, "x") for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(compose(*squares(), BACKGROUND, 5, 48, "y")[1], first[1])


def test_an_outline_encloses_dark_parts_but_no_noise() -> None:
    garment = np.zeros((28, 28), np.uint8)
    garment[5:20, 5:20] = 200
    garment[9:12, 9:12] = 0
    garment[0, 0] = 3
    wanted = np.zeros((28, 28), bool)
    wanted[5:20, 5:20] = True
    np.testing.assert_array_equal(outline(garment), wanted)


def test_photographs_share_no_row_between_training_and_test() -> None:
    train, test = photographs(False), photographs(True)
    assert [(a.shape[0] + b.shape[0], a.shape[1]) for a, b in zip(train, test)] == [(427, 640)] * 2
    assert all(a.std() > 20 for a in (*train, *test))


def test_too_little_to_compose_from() -> None:
    with pytest.raises(DataError, match="do not make 20"):
        compose(*squares(10), BACKGROUND, 20, 48, "x")
    with pytest.raises(DataError, match="do not make 2"):
        compose(*squares(), [np.zeros((40, 90), np.uint8)], 2, 48, "x")


def test_random_places_and_shades() -> None:
    images, masks = compose(*squares(), BACKGROUND, 10, 48, "x")
    centres = [np.argwhere(mask > 0).mean(axis=0) for mask in masks if (mask > 0).any()]
    assert np.std(centres, axis=0).min() > 3
    assert len({int(image[mask > 0].max()) for image, mask in zip(images, masks) if (mask > 0).any()}) > 3

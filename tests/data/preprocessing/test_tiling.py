"""Tiles: positions, weights that make 1, equality with the whole image, and no seams."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from lamplighter.core.seeding import generator
from lamplighter.data.preprocessing import tiling


def blur(x: np.ndarray) -> np.ndarray:
    """A network with a receptive field of 5 x 5: means over neighbours, zeros outside of what it is given."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (2, 2), (2, 2)))
    rows = np.sum([padded[:, :, i : i + x.shape[2]] for i in range(5)], axis=0)
    summed: np.ndarray = np.sum([rows[:, :, :, i : i + x.shape[3]] for i in range(5)], axis=0)
    return summed / 25


def network(tiles: np.ndarray) -> Sequence[np.ndarray]:
    return [blur(tiles).astype(np.float32), tiles.mean(axis=(2, 3))]


def test_the_little_network_is_what_it_says() -> None:
    x = generator(0, "x").random((1, 1, 9, 8))
    np.testing.assert_allclose(blur(x)[0, 0], uniform_filter(x[0, 0], 5, mode="constant"), rtol=1e-12)


@pytest.mark.parametrize(
    ("length", "tile", "overlap"), [(100, 32, 8), (33, 32, 8), (64, 32, 0), (40, 16, 8), (7, 9, 2)]
)
def test_tiles_cover_everything_with_enough_in_common(length: int, tile: int, overlap: int) -> None:
    begins, shares = tiling.shares(length, tile, overlap)
    size = min(tile, length)
    assert begins[0] == 0 and begins[-1] + size == length
    assert all(size - (after - before) >= overlap for before, after in itertools.pairwise(begins))
    total = np.zeros(length)
    for begin, share in zip(begins, shares):
        assert (share > 0).all()
        total[begin : begin + size] += share
    np.testing.assert_allclose(total, 1, rtol=1e-12)


def test_no_more_tiles_than_are_needed() -> None:
    assert tiling.starts(100, 32, 8) == [0, 23, 45, 68]  # three would cover at most 32 + 2 * 24 = 80
    assert len(tiling.starts(80, 32, 8)) == 3


def test_neighbours_with_just_the_overlap_make_one() -> None:
    weights = tiling.window(32, 8)
    np.testing.assert_allclose(weights[-8:] + weights[:8], 1, rtol=1e-12)
    assert (weights[8:-8] == 1).all()


@pytest.mark.parametrize("shape", [(70, 90), (20, 90), (33, 20)])
def test_far_from_the_borders_of_tiles_the_answer_is_that_of_the_whole_image(shape: tuple[int, int]) -> None:
    x = generator(0, "x").random((2, 3, *shape)).astype(np.float32)
    tile, overlap = 32, 0.25
    maps, vectors = tiling.tiled(network, x, tile, overlap)
    whole = blur(x)
    assert maps.shape == whole.shape and maps.dtype == np.float32
    exact = np.ones(shape, bool)  # pixels that every tile which has a say in them sees with all their neighbours
    for axis, length in enumerate(shape):
        begins, size = tiling.starts(length, tile, 8), min(tile, length)
        line = np.ones(length, bool)
        for begin in begins:
            line[begin : begin + 2] &= begin == 0
            line[begin + size - 2 : begin + size] &= begin + size == length
        exact &= line[:, None] if axis == 0 else line[None, :]
    assert exact.mean() > 0.5
    np.testing.assert_allclose(maps[:, :, exact], whole[:, :, exact], rtol=1e-5)
    assert vectors.shape == (2, 3)


def test_there_are_no_seams() -> None:
    """A network that is wrong near the border of what it sees: hard tiles jump there, blended ones do not."""

    def shy(tiles: np.ndarray) -> list[np.ndarray]:
        inside = np.minimum(np.arange(tiles.shape[2]), np.arange(tiles.shape[2])[::-1])
        return [np.broadcast_to(np.minimum(inside, 6)[:, None] / 6.0, tiles.shape).astype(np.float32)]

    x = np.zeros((1, 1, 128, 32), np.float32)
    middle = tiling.tiled(shy, x, 32, 0.5)[0][0, 0, 16:-16, 0]
    assert middle.min() > 0.9, "a border that counts little"
    assert tiling.tiled(shy, x, 32, 0.0)[0][0, 0, 16:-16, 0].min() == 0


def test_tiles_reach_the_network_in_bounded_batches_of_one_shape() -> None:
    seen: list[tuple[int, ...]] = []

    def spy(tiles: np.ndarray) -> Sequence[np.ndarray]:
        seen.append(tiles.shape)
        return network(tiles)

    tiling.tiled(spy, np.zeros((1, 1, 100, 90), np.float32), 32, 0.25)
    assert [shape[0] for shape in seen] == [8, 8] and {shape[1:] for shape in seen} == {(1, 32, 32)}


def test_vectors_are_means_over_tiles() -> None:
    x = np.zeros((1, 1, 40, 16), np.float32)
    x[:, :, :16] = 6.0
    _, mean = tiling.tiled(network, x, 16, 0.25)
    begins = tiling.starts(40, 16, 4)
    assert mean[0, 0] == pytest.approx(np.mean([x[0, 0, b : b + 16].mean() for b in begins]), rel=1e-6)


def test_needs_tiles() -> None:
    assert tiling.needs_tiles(33, 10, 32) and not tiling.needs_tiles(32, 32, 32) and not tiling.needs_tiles(99, 9, None)

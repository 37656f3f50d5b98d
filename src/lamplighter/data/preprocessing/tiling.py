"""Large images in overlapping tiles: cut, answered tile by tile, and blended without seams.

Training's evaluation and the server run this very code. Near its border a tile lacks the surroundings that the
network would look at; there its answer counts little, and that of the neighbour whose middle is nearer counts much.

Legend: N images, C channels, H, W height and width, T tiles of h x w pixels, K classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

BATCH = 8
"""Tiles given to the network at a time, which bounds its memory."""

Network = Callable[[np.ndarray], Sequence[np.ndarray]]
"""(T, C, h, w) -> maps (T, K, h, w), and then any number of vectors (T, D)."""


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along one axis: evenly spread, at least ``overlap`` in common, none beyond the end.

    >>> starts(10, 4, 1), starts(11, 4, 1), starts(3, 4, 1)
    ([0, 3, 6], [0, 2, 5, 7], [0])
    """
    if length <= tile:
        return [0]
    count = 1 + -(-(length - tile) // (tile - overlap))
    return [round(index * (length - tile) / (count - 1)) for index in range(count)]


def window(length: int, overlap: int) -> np.ndarray:
    """(length,) weights: sin^2 ramps over ``overlap`` pixels at both ends, 1 between (a Tukey window).

    Two neighbours that have just ``overlap`` pixels in common add up to 1 everywhere.

    >>> window(6, 2).round(4).tolist()
    [0.1464, 0.8536, 1.0, 1.0, 0.8536, 0.1464]
    """
    to_border = np.minimum(np.arange(length), np.arange(length)[::-1])
    return np.where(to_border < overlap, np.sin(np.pi / 2 * (to_border + 0.5) / max(overlap, 1)) ** 2, 1.0)


def shares(length: int, tile: int, overlap: int) -> tuple[list[int], np.ndarray]:
    """`starts`, and (T, tile) how much each tile says of its pixels; over all tiles that makes 1 for each pixel."""
    begins, size = starts(length, tile, overlap), min(tile, length)
    total = np.zeros(length)
    weights = window(size, overlap)
    for begin in begins:
        total[begin : begin + size] += weights
    return begins, np.stack([weights / total[begin : begin + size] for begin in begins])


def tiled(network: Network, x: np.ndarray, tile: int, overlap: float) -> list[np.ndarray]:
    """A network's answer to images of any size, tile by tile.

    Maps are blended by `shares`: away from other tiles a pixel has exactly the answer of its tile. An axis that is no
    longer than a tile is not cut. Vectors, such as embeddings, are averaged over the tiles.

    Args:
        network: see `Network`.
        x: (N, C, H, W).
        tile: height and width of a tile.
        overlap: share of the tile that neighbours have in common at least, from 0 to 0.5.

    Returns:
        (N, K, H, W) float32, and the means (N, D).

    >>> x = np.arange(12.0).reshape(1, 1, 2, 6)
    >>> bool(np.allclose(tiled(lambda tiles: [tiles], x, tile=3, overlap=0.34)[0], x, atol=1e-6))
    True
    """
    each = [_one(network, image, tile, round(tile * overlap)) for image in x]
    return [np.stack(parts) for parts in zip(*each)]


def needs_tiles(height: int, width: int, tile: int | None) -> bool:
    """Whether an image is larger than a tile."""
    return tile is not None and max(height, width) > tile


def _one(network: Network, image: np.ndarray, tile: int, overlap: int) -> list[np.ndarray]:
    """Maps (K, H, W) and vectors (D,) of one image (C, H, W)."""
    rows, row_shares = shares(image.shape[1], tile, overlap)
    columns, column_shares = shares(image.shape[2], tile, overlap)
    height, width = row_shares.shape[1], column_shares.shape[1]
    places = list(itertools.product(range(len(rows)), range(len(columns))))
    whole: np.ndarray | None = None
    sums: list[np.ndarray] = []
    for start in range(0, len(places), BATCH):
        chosen = places[start : start + BATCH]
        cuts = [(slice(rows[r], rows[r] + height), slice(columns[c], columns[c] + width)) for r, c in chosen]
        maps, *vectors = network(np.stack([image[:, down, across] for down, across in cuts]))
        if whole is None:
            whole = np.zeros((maps.shape[1], *image.shape[1:]), np.float32)
            sums = [np.zeros(vector.shape[1]) for vector in vectors]
        for answer, (r, c), (down, across) in zip(maps, chosen, cuts):
            whole[:, down, across] += answer * np.outer(row_shares[r], column_shares[c]).astype(np.float32)
        sums = [total + vector.sum(axis=0, dtype=np.float64) for total, vector in zip(sums, vectors)]
    assert whole is not None
    return [whole, *((total / len(places)).astype(np.float32) for total in sums)]

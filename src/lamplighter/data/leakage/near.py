"""Rows that are nearly equal across splits: copies that were rounded, re-encoded, or made a little darker.

How near is too near depends on how densely the data lie. For each held-out row, r = d_1 / d_10 compares its nearest
training row with the tenth. In D dimensions of even density P(r < t) = 1 - (1 - t^D)^9; D is read off the rows
themselves, and pairs are reported only when there are more of them than this law explains (99.9% Poisson bound).
"""

from __future__ import annotations

import math

import numpy as np

from lamplighter.core import seeding
from lamplighter.data.leakage.content import Content
from lamplighter.data.leakage.duplicates import examples
from lamplighter.data.leakage.finding import Finding, counted, row_names
from lamplighter.data.source import Source

NEIGHBOURS = 10
RATIO = 0.12
"""Largest d_1 / d_10 of a copy."""
TABLE_TOLERANCE = 0.05
"""Largest root mean square difference of the columns of a copy, in standard deviations of the training rows."""
HAMMING = 6
"""Largest number of the 64 bits of the difference hash in which copies of an image differ."""
IMAGE_TOLERANCE = 0.1
"""Largest distance between the thumbnails of copies, each of mean 0 and length 1."""
_LOOKED_AT = 2000
_TRAINING = 100_000
_ALIKE = 32  # training images of the nearest hashes whose thumbnails are compared
_DEAD = 4.0  # neighbouring cells that differ by less of 255 count as equal: noise in flat areas
_DAY = np.float64(86_400_000_000)


def near_duplicates(rows: Content, source: Source, seed: int = 0) -> Finding | None:
    """Held-out rows that are nearly, but not exactly, a training row.

    Tables of at least three columns are compared in standardised numbers and one-hot categories; images by a 64-bit
    difference hash of 9 x 8 cells, and then by thumbnails of 16 x 16 normalised cells. Copies that were shifted,
    cropped or turned are not found. At most 2,000 held-out rows are looked at.

    Args:
        rows: of the source.
        source: for the names of rows.
        seed: of the sample.
    """
    train, held_out = np.flatnonzero(rows.part == 0), np.flatnonzero(rows.part > 0)
    rng = seeding.generator(seed, "near duplicates")
    train, held_out = (
        np.sort(rng.choice(each, limit, replace=False)) if len(each) > limit else each
        for each, limit in ((train, _TRAINING), (held_out, _LOOKED_AT))
    )
    if len(train) <= NEIGHBOURS:
        return None
    if rows.columns is not None:
        found = _of_table(rows.columns, train, held_out)
        how = f"differ from a training row by less than {TABLE_TOLERANCE:g} standard deviations"
    elif rows.x is not None and rows.x.ndim == 4:
        found = _of_images(rows.x, train, held_out)
        how = "look like a training image, pixel for pixel but for noise, brightness or encoding"
    else:
        return None
    if not found:
        return None
    by_split = {name: sum(rows.part[row] == number for row, _ in found) for number, name in ((1, "val"), (2, "test"))}
    sizes = {name: int((rows.part[held_out] == number).sum()) for number, name in ((1, "val"), (2, "test"))}
    return Finding(
        check="near-duplicates",
        certain=True,
        message=f"{counted(by_split, sizes)} that were looked at {how}",
        rows=len(found),
        examples=examples(found, rows, row_names(source)),
        advice="Remove the copies, or keep them together: data: {split: {by: group, ...}}",
    )


def beyond_chance(nearest: np.ndarray, ratios: np.ndarray, close: np.ndarray) -> np.ndarray:
    """Which rows are too close to be so by chance; none when the density of the data explains as many.

    Args:
        nearest: (M,) distance to the nearest training row; 0 for equal rows, which are no near duplicates.
        ratios: (M,) d_1 / d_10.
        close: (M,) rows within the tolerance, apart from the ratio.

    >>> ratios = np.append(np.full(99, 0.7), 0.01)  # 7 dimensions: a ratio of 0.01 has probability 1e-13
    >>> beyond_chance(np.ones(100), ratios, np.ones(100, bool)).nonzero()[0].tolist()
    [99]
    """
    from scipy import stats

    suspects = close & (ratios <= RATIO) & (nearest > 0)
    dimension = 0.0
    for share in (0.5, 0.9):  # copies pull the median down when they are many, the upper tail hardly
        at = float(np.quantile(ratios, share))
        if 0 < at < 1:
            dimension = max(dimension, math.log(1 - (1 - share) ** (1 / (NEIGHBOURS - 1))) / math.log(at))
    expected = len(ratios) * (1 - (1 - RATIO**dimension) ** (NEIGHBOURS - 1)) if dimension else len(ratios)
    return suspects if suspects.sum() > stats.poisson.ppf(0.999, expected) else np.zeros_like(suspects)


def _of_table(columns: dict[str, np.ndarray], train: np.ndarray, held_out: np.ndarray) -> list[tuple[int, int]]:
    from sklearn.neighbors import NearestNeighbors

    if len(columns) < 3:
        return []
    x = np.concatenate([_numbers(column, train) for column in columns.values()], axis=1)
    model = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(x[train])
    distances, neighbours = model.kneighbors(x[held_out])
    ratios = distances[:, 0] / np.maximum(distances[:, -1], 1e-300)
    close = distances[:, 0] <= TABLE_TOLERANCE * math.sqrt(len(columns))
    nearest = np.abs(x[held_out] - x[train[neighbours[:, 0]]]).max(axis=1)  # exactly 0 for equal rows
    found = np.flatnonzero(beyond_chance(nearest, ratios, close))
    return [(int(held_out[row]), int(train[neighbours[row, 0]])) for row in found]


def _numbers(column: np.ndarray, train: np.ndarray) -> np.ndarray:
    """(N, numbers) of a column: standardised, or one-hot scaled so that two different categories are 1 apart."""
    if column.dtype == object:
        codes = np.unique(np.array([str(cell) for cell in column]), return_inverse=True)[1].reshape(-1)
        common = np.argsort(-np.bincount(codes), kind="stable")[:50]
        return np.asarray((codes[:, None] == common) / math.sqrt(2))
    numbers = column.astype("datetime64[us]").astype(np.int64) / _DAY if column.dtype.kind == "M" else column
    numbers = np.where(np.isnat(column) if column.dtype.kind == "M" else np.isnan(column), np.nan, numbers)
    given = numbers[train][~np.isnan(numbers[train])]
    if not len(given) or given.min() == given.max():
        return np.zeros((len(column), 1))
    filled = np.where(np.isnan(numbers), np.median(given), numbers)
    return np.asarray(((filled - given.mean()) / given.std())[:, None])


def _of_images(x: np.ndarray, train: np.ndarray, held_out: np.ndarray) -> list[tuple[int, int]]:
    of_train, pictures = _fingerprints(x, train)
    hashes, thumbnails = _fingerprints(x, held_out)
    alike = min(_ALIKE, len(train) - 1)
    first = np.empty(len(held_out), dtype=np.int64)
    distances = np.empty((len(held_out), 2))
    bits = np.empty(len(held_out))
    for row, (own, picture) in enumerate(zip(hashes, thumbnails)):
        differ = np.bitwise_count(of_train ^ own)
        candidates = np.argpartition(differ, alike)[: alike + 1]
        apart = np.sqrt(np.maximum(0, 2 - 2 * pictures[candidates] @ picture))
        order = np.argsort(apart)
        first[row], bits[row] = candidates[order[0]], differ[candidates[order[0]]]
        distances[row] = apart[order[0]], apart[order[min(NEIGHBOURS, len(order)) - 1]]
    close = (bits <= HAMMING) & (distances[:, 0] <= IMAGE_TOLERANCE)
    exact = (x[held_out] == x[train[first]]).all(axis=(1, 2, 3))
    ratios = np.maximum(distances[:, 0], 1e-12) / np.maximum(distances[:, 1], 1e-12)
    found = np.flatnonzero(beyond_chance(np.where(exact, 0.0, 1.0), ratios, close))
    return [(int(held_out[row]), int(train[first[row]])) for row in found]


def _fingerprints(x: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """64-bit difference hashes, and thumbnails of mean 0 and length 1, of images (N, C, H, W)."""
    hashes, thumbnails = [], []
    for start in range(0, len(rows), 1024):
        gray = x[rows[start : start + 1024]].astype(np.float32).mean(axis=1)
        cells = shrink(gray, 8, 9)
        scale = max(1.0, float(gray.max())) / 255 if x.dtype != np.uint8 else 1.0
        bits = (cells[:, :, 1:] > cells[:, :, :-1] + _DEAD * scale).reshape(len(gray), 64)
        hashes.append(np.packbits(bits, axis=1).view(np.uint64).reshape(-1))
        small = shrink(gray, 16, 16).reshape(len(gray), -1)
        small -= small.mean(axis=1, keepdims=True)
        thumbnails.append(small / np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-6))
    return np.concatenate(hashes), np.concatenate(thumbnails)


def shrink(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Means over equal cells of (N, H, W), exact also where a cell border goes through a pixel.

    >>> shrink(np.arange(9.0).reshape(1, 3, 3), 1, 2)
    array([[[3.33333333, 4.66666667]]])
    """
    n, height, width = images.shape
    total = np.zeros((n, height + 1, width + 1))
    total[:, 1:, 1:] = images.cumsum(axis=1, dtype=np.float64).cumsum(axis=2)
    for axis, size, cells in ((1, height, rows), (2, width, columns)):
        edges = np.linspace(0, size, cells + 1)
        below = np.minimum(edges.astype(np.int64), size - 1)
        share = (edges - below).reshape((-1, 1) if axis == 1 else (1, -1))
        total = total.take(below, axis) * (1 - share) + total.take(below + 1, axis) * share
        total = np.diff(total, axis=axis)
    return total * (rows * columns / (height * width))

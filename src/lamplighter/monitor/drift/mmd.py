"""All columns together: finds small changes spread over many columns, and changes of how columns go together."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from lamplighter.core.seeding import generator
from lamplighter.monitor.drift import effect
from lamplighter.monitor.drift.baseline import Baseline, Column
from lamplighter.monitor.drift.verdict import Finding

MAX_CATEGORIES = 50  # further categories of a column are lumped together
MAX_PERMUTATIONS = 10_000


class MMD:
    """Maximum mean discrepancy with a permutation test (Gretton et al. 2012).

    MMD^2 = mean k(x, x') + mean k(y, y') - 2 mean k(x, y), without the diagonals, for the Gaussian kernel
    k(a, b) = exp(-|a - b|^2 / s) whose s is the median squared distance. The p-value is (b + 1) / (P + 1), b of P
    random relabellings of the pooled rows reaching the observed value: valid at any sample size. Columns are
    standardised, categories one-hot coded and missing values flagged with statistics of the *pooled* rows; with those
    of the reference alone the relabellings would not be exchangeable, and small samples of many columns would raise
    false alarms.

    The effect is Cliff's delta of the witness function: how well its value tells a current row from a reference
    row, 0 not at all, 1 always.

    Args:
        permutations: relabellings P; raised to 10 / alpha when alpha is so small that P could never reject.
        max_rows: a random subset of this size is taken of larger samples.
    """

    def __init__(
        self,
        permutations: Annotated[int, Field(ge=99, le=MAX_PERMUTATIONS)] = 1000,
        max_rows: Annotated[int, Field(ge=20, le=5000)] = 1000,
    ) -> None:
        self.permutations = permutations
        self.max_rows = max_rows

    def __call__(self, reference: Baseline, current: np.ndarray, alpha: float, seed: int) -> Finding:
        if reference.rows is None:
            return Finding(1.0, 0.0, skipped="the reference keeps no rows (bundle.reference: summary)")
        rng = generator(seed, "mmd")
        before = _subset(reference.rows, self.max_rows, rng)
        now = _subset(current, self.max_rows, rng)
        points = embed(np.concatenate([before, now]), reference.columns)
        kernel = gaussian_kernel(points)
        if kernel is None:
            return Finding(1.0, 0.0, skipped="nothing varies in any column")
        count = min(max(self.permutations, int(np.ceil(10 / alpha))), MAX_PERMUTATIONS)
        p_value, size = permutation_test(kernel, len(before), count, rng)
        return Finding(p_value, size)


def embed(pooled: np.ndarray, columns: tuple[Column, ...]) -> np.ndarray:
    """Points (rows, d) whose Euclidean distances compare rows fairly; without columns in which nothing varies."""
    numeric = np.array([column.kind == "numeric" for column in columns])
    missing = np.isnan(pooled)
    parts = [_standardise(pooled[:, numeric]), missing[:, numeric & missing.any(axis=0)].astype(np.float64)]
    parts += [_one_hot(pooled[:, j]) for j in np.flatnonzero(~numeric)]
    points = np.concatenate(parts, axis=1)
    varies: np.ndarray = points.min(axis=0) < points.max(axis=0)
    return points[:, varies]


def gaussian_kernel(points: np.ndarray) -> np.ndarray | None:
    """Kernel matrix with median bandwidth and a zero diagonal; None when all points coincide."""
    squares = (points**2).sum(axis=1)
    distances = points @ (-2 * points.T)
    distances += squares[:, None]
    distances += squares
    np.maximum(distances, 0, out=distances)
    scale = float(np.median(distances))
    if scale < 1e-12:  # half of all pairs coincide
        apart = distances[distances > 1e-12]
        if apart.size == 0:
            return None
        scale = float(apart.mean())
    distances /= -scale
    kernel = np.exp(distances, out=distances)
    np.fill_diagonal(kernel, 0)
    return kernel


def permutation_test(kernel: np.ndarray, n: int, permutations: int, rng: np.random.Generator) -> tuple[float, float]:
    """P-value of MMD^2 and the effect, the first ``n`` rows being the reference.

    All relabellings cost one matrix product: with indicator columns S of the reference rows, the sum of k over pairs
    within the reference is the column sum of S * (K S); the other two sums follow from the row sums of K.
    """
    total = len(kernel)
    labels = np.zeros((permutations + 1, total))
    labels[:, :n] = 1
    labels[1:] = rng.permuted(labels[1:], axis=1)
    indicators = labels.T
    within = np.einsum("ij,ij->j", indicators, kernel @ indicators)
    touching = kernel.sum(axis=1) @ indicators
    between = touching - within
    rest = kernel.sum() - 2 * touching + within
    m = total - n
    statistic = within / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * between / (n * m)
    tolerance = 1e-12 * np.abs(statistic).max()
    reached = int((statistic[1:] >= statistic[0] - tolerance).sum())
    to_reference = kernel[:, :n].sum(axis=1) / np.where(np.arange(total) < n, n - 1, n)
    to_current = kernel[:, n:].sum(axis=1) / np.where(np.arange(total) < n, m, m - 1)
    witness = to_reference - to_current
    return (reached + 1) / (permutations + 1), max(0.0, effect.separation(witness[:n], witness[n:]))


def _subset(rows: np.ndarray, limit: int, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= limit else rows[np.sort(rng.choice(len(rows), limit, replace=False))]


def _standardise(values: np.ndarray) -> np.ndarray:
    """Mean 0 and variance 1 over all rows; missing values at the mean; infinities at the largest finite value."""
    finite = np.isfinite(values)
    size = np.max(np.abs(values), axis=0, where=finite, initial=0.0)
    size = np.where(size > 0, size, 1.0)
    scaled = np.clip(np.divide(values, size, out=np.zeros_like(values), where=~np.isnan(values)), -1, 1)
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, scaled - np.where(known, scaled, 0).sum(axis=0) / count, 0)
    deviation = np.sqrt((centred**2).sum(axis=0) / count)
    return np.where(deviation > 1e-12, centred / np.where(deviation > 1e-12, deviation, 1), 0)


def _one_hot(codes: np.ndarray) -> np.ndarray:
    """Indicator columns of the commonest codes, one for the others, one for missing."""
    values, counts = np.unique(codes[~np.isnan(codes)], return_counts=True)
    common = values[np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]]
    columns = [codes == value for value in common]
    missing = np.isnan(codes)
    other = ~missing & ~np.isin(codes, common)
    return np.stack([*columns, other, missing], axis=1).astype(np.float64)

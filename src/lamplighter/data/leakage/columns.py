"""Columns that say too much: copies of the target, and single columns that predict it alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamplighter.core import seeding
from lamplighter.data import folds
from lamplighter.data.leakage.content import Content
from lamplighter.data.leakage.finding import SHOWN, Finding
from lamplighter.metrics.ranking import roc_auc_ovr

PLAUSIBLE = 0.99
"""ROC-AUC or R2 from which a single column is too good to be true."""
_FEWEST = 50
_ROWS = 5000
_FOLDS = 3
_LEAVES = 16
_CATEGORIES = 50
_DAY = np.float64(86_400_000_000)


def target_copies(rows: Content) -> list[Finding]:
    """Input columns that are the target under another name: each value means one class, or one number.

    Looks at training and validation rows only.

    Args:
        rows: of a table.
    """
    chosen, y = _judged(rows)
    found = []
    for name, column in (rows.columns or {}).items():
        given = column[chosen]
        if not _is_copy(given, y, rows.classes):
            continue
        pairs = {f"{value} means {target}": None for value, target in zip(given[:200].tolist(), y[:200].tolist())}
        found.append(
            Finding(
                check="target-copy",
                certain=True,
                message=f"column '{name}' is the target under another name: each of its values goes with one of the "
                "target's",
                rows=len(chosen),
                examples=tuple(list(pairs)[:SHOWN]) if rows.classes else (),
                advice=f"Leave it out: data: {{columns: {{{name}: ignore}}}}",
            )
        )
    return found


def lone_predictors(rows: Content, seed: int = 0) -> list[Finding]:
    """Columns from which alone a small tree predicts the target nearly perfectly, cross-validated.

    Score: ROC-AUC (one against the rest, averaged) or R2 of predictions for held-out folds, from at most 5,000
    training and validation rows; of numbers against numbers also the squared correlation of values or ranks.

    Args:
        rows: of a table of at least 50 rows.
        seed: of the sample and the folds.
    """
    chosen, y = _judged(rows)
    if len(chosen) > _ROWS:
        kept = np.sort(seeding.generator(seed, "lone predictors").choice(len(chosen), _ROWS, replace=False))
        chosen, y = chosen[kept], y[kept]
    if len(chosen) < _FEWEST or (rows.classes and np.bincount(y)[np.bincount(y) > 0].min() < 10):
        return []
    found = []
    for name, column in (rows.columns or {}).items():
        given = column[chosen]
        if _is_copy(given, y, rows.classes):
            continue
        score = _score(given, y, rows.classes, seed)
        if score < PLAUSIBLE:
            continue
        measure = "ROC-AUC" if rows.classes else "R2"
        found.append(
            Finding(
                check="single-column",
                certain=False,
                message=f"column '{name}' alone predicts the target with a cross-validated {measure} of {score:.3f}",
                rows=len(chosen),
                examples=(),
                advice=f"If it is not known before the target is, leave it out: data: {{columns: {{{name}: ignore}}}}",
            )
        )
    return found


def _judged(rows: Content) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation rows with a target, and the target: (M,)."""
    y = rows.y if rows.y.ndim == 1 else rows.y[:, 0]
    known = y >= 0 if rows.classes else ~np.isnan(y)
    chosen = np.flatnonzero((rows.part < 2) & known)
    return chosen, y[chosen]


def _is_copy(column: np.ndarray, y: np.ndarray, classes: bool) -> bool:
    if not classes:
        return _rank_correlation(column, y) > 1 - 1e-9 if column.dtype.kind == "f" else False
    values = np.array([str(cell) for cell in column.tolist()]) if column.dtype == object else column
    codes = np.unique(values, return_inverse=True)[1].reshape(-1)
    labels = np.unique(y, return_inverse=True)[1].reshape(-1)
    several = int(labels.max(initial=0)) + 1
    if int(codes.max(initial=0)) + 1 != several or several < 2:
        return False
    return len(np.unique(codes * several + labels)) == several


def _score(column: np.ndarray, y: np.ndarray, classes: bool, seed: int) -> float:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    x = _inputs(column)
    pairs = folds.stratified_k_fold(y, _FOLDS, seed) if classes else folds.k_fold(len(y), _FOLDS, seed)
    labels = np.unique(y)
    predicted = np.zeros((len(y), len(labels) if classes else 1))
    for train, held_out in pairs:
        settings: dict[str, Any] = {"max_leaf_nodes": _LEAVES, "min_samples_leaf": 5, "random_state": 0}
        model = DecisionTreeClassifier(**settings) if classes else DecisionTreeRegressor(**settings)
        model.fit(x[train], y[train])
        predicted[held_out] = model.predict_proba(x[held_out]) if classes else model.predict(x[held_out])[:, None]
    if classes:
        return roc_auc_ovr(predicted, np.searchsorted(labels, y))
    residual, total = ((y - predicted[:, 0]) ** 2).sum(), ((y - y.mean()) ** 2).sum()
    score = float(1 - residual / total) if total > 0 else 0.0
    return max(score, _rank_correlation(column, y), _correlation(column, y)) if column.dtype.kind == "f" else score


def _inputs(column: np.ndarray) -> np.ndarray:
    """(M, numbers) for a tree: numbers with blanks as the smallest, categories one-hot."""
    if column.dtype == object:
        codes = np.unique(np.array([str(cell) for cell in column]), return_inverse=True)[1].reshape(-1)
        common = np.argsort(-np.bincount(codes), kind="stable")[:_CATEGORIES]
        return np.asarray(codes[:, None] == common, dtype=np.float32)
    if column.dtype.kind == "M":
        column = np.where(np.isnat(column), np.nan, column.astype("datetime64[us]").astype(np.int64) / _DAY)
    ranks = np.unique(column, return_inverse=True)[1].reshape(-1)  # a tree sees order only, and float32 all of it
    return np.where(np.isnan(column), -1, ranks)[:, None].astype(np.float32)


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Squared, over rows without a blank; 0 when there are too few or nothing varies."""
    given = ~np.isnan(x)
    x, y = x[given], y[given].astype(np.float64)
    if len(x) < _FEWEST or x.min() == x.max() or y.min() == y.max():
        return 0.0
    u, v = x - x.mean(), y - y.mean()
    u, v = u / np.abs(u).max(), v / np.abs(v).max()
    return float((u @ v) ** 2 / ((u @ u) * (v @ v)))


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.stats import rankdata

    given = ~np.isnan(x)
    return _correlation(np.where(given, rankdata(np.where(given, x, 0.0)), np.nan), rankdata(y)) if given.all() else 0.0

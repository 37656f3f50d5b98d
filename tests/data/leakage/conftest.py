"""Tables with known leaks."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import datasets

from lamplighter.data.sources.table import Table

Build = Callable[..., Table]


@pytest.fixture
def tumours(tmp_path: Path) -> Build:
    """A table source of breast_cancer with further columns and rows, and the file's rows in the order given."""

    def build(
        extra: dict[str, Any] | None = None, rows: np.ndarray | None = None, noise: float = 0.0, **params: Any
    ) -> Table:
        data = datasets.load_breast_cancer()
        chosen = np.arange(len(data.target)) if rows is None else rows
        x = data.data[chosen]
        if noise:
            x = x + np.random.default_rng(1).normal(size=x.shape) * noise * data.data.std(axis=0)
        columns: dict[str, Any] = dict(zip(data.feature_names.tolist(), x.T.tolist()))
        columns |= extra or {}
        columns["target"] = np.array(["malignant", "benign"])[data.target[chosen]].tolist()
        path = tmp_path / f"tumours{len(list(tmp_path.iterdir()))}.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values()))
        return Table(str(path), "target", **params)

    return build

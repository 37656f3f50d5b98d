"""Columns that say too much are named; informative ones are left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import datasets

from lamplighter.core.seeding import generator
from lamplighter.data.leakage import columns, content
from lamplighter.data.sources.table import Table


def _target() -> np.ndarray:
    return np.asarray(datasets.load_breast_cancer().target)


def test_a_renamed_target_is_a_copy(tumours: Any) -> None:
    source = tumours(extra={"icd": np.array(["C50", "D24"])[_target()].tolist()})
    (found,) = columns.target_copies(content.read(source))
    assert found.certain and "column 'icd' is the target under another name" in found.message
    assert "columns: {icd: ignore}" in found.advice and len(found.examples) == 2
    assert columns.lone_predictors(content.read(source)) == []  # said once


def test_a_column_known_only_afterwards_predicts_alone(tumours: Any) -> None:
    rng = generator(0, "leak")
    y = _target()
    days = np.where(y == 0, rng.gamma(9, 10, 569), rng.gamma(1, 0.5, 569)).round(2)  # days in hospital
    source = tumours(extra={"stay": days.tolist()})
    (found,) = columns.lone_predictors(content.read(source))
    assert not found.certain and found.message.startswith("column 'stay' alone predicts the target")
    assert columns.target_copies(content.read(source)) == []


def test_a_category_of_many_values_predicts_alone(tumours: Any) -> None:
    rng = generator(0, "codes")
    codes = [f"{'m' if label == 0 else 'b'}{rng.integers(8)}" for label in _target()]
    source = tumours(extra={"code": codes})
    (found,) = columns.lone_predictors(content.read(source))
    assert "'code'" in found.message


@pytest.mark.parametrize("seed", range(5))
def test_clean_tables_do_not_alarm(tumours: Any, seed: int) -> None:
    """The best single column of breast_cancer has a cross-validated ROC-AUC of about 0.955."""
    rows = content.read(tumours(seed=seed))
    assert columns.target_copies(rows) == [] and columns.lone_predictors(rows, seed) == []


def test_only_training_and_validation_rows_are_looked_at(tumours: Any) -> None:
    plain = tumours()
    rng = generator(0, "noise")
    values = 9.0 * _target() + rng.normal(size=569)
    values[plain.splits.test] = rng.normal(4, 4, size=len(plain.splits.test))  # which would hide the leak
    source = tumours(extra={"odd": values.tolist()}, splits=plain.splits)
    assert [found.check for found in columns.lone_predictors(content.read(source))] == ["single-column"]


def _numbers(tmp_path: Path, transform: Any) -> content.Content:
    rng = generator(0, "numbers")
    price = rng.lognormal(3, 1, 400)
    other = price**0.5 * rng.lognormal(0, 0.4, 400)
    rows = [f"{a},{b},{c}" for a, b, c in zip(transform(price, rng), other, price)]
    path = tmp_path / "prices.csv"
    path.write_text("\n".join(["leak,other,price", *rows]))
    return content.read(Table(str(path), "price"))


def test_numeric_targets(tmp_path: Path) -> None:
    cents = _numbers(tmp_path, lambda price, _: np.log(price) * 3 - 1)
    (copy,) = columns.target_copies(cents)
    assert "'leak'" in copy.message and columns.lone_predictors(cents) == []
    with_tax = _numbers(tmp_path, lambda price, rng: price * 1.19 + rng.normal(0, 0.5, 400))
    assert columns.target_copies(with_tax) == []
    (found,) = columns.lone_predictors(with_tax)
    assert "'leak'" in found.message and "R2" in found.message
    bent = _numbers(tmp_path, lambda price, rng: -((np.log(price) - 3) ** 2) + rng.normal(0, 1, 400))
    assert columns.lone_predictors(bent) == []


def test_too_few_rows_for_a_verdict(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("\n".join(["x,y", *(f"{i}.5,{'ab'[i > 12]}" for i in range(26))]))
    assert columns.lone_predictors(content.read(Table(str(path), "y"))) == []

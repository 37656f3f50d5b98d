"""Arrays in memory as a source."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lamplighter.core.errors import DataError
from lamplighter.data.sources.arrays import Arrays

X = np.arange(120, dtype=np.float64).reshape(40, 3)


def test_classes_are_split_with_their_shares_and_rows_stay_together() -> None:
    y = np.arange(40) % 4
    source = Arrays((X, y), seed=3)
    assert source.signature.labels == ("0", "1", "2", "3")
    seen = []
    for split in ("train", "val", "test"):
        rows = source.split(split)
        batch = rows.fetch(np.arange(len(rows)))
        assert batch["x"].dtype == torch.float32
        assert ((batch["x"][:, 0] / 3).long() % 4).equal(batch["y"])
        assert np.array_equal(np.stack(source.raw(split, np.arange(len(rows)))), batch["x"].numpy())
        seen += batch["x"][:, 0].tolist()
    assert sorted(seen) == X[:, 0].tolist()


def test_tensors_texts_and_labels() -> None:
    named = Arrays((torch.from_numpy(X), np.array(["no", "yes"] * 20)))
    assert named.signature.labels == ("no", "yes")
    ordered = Arrays((X, np.array(["no", "yes"] * 20)), labels=("yes", "no", "maybe"))
    assert ordered.split("train").tensors["y"].tolist()[:2] == [1, 0]
    with_blanks = Arrays((X, np.array([-1, 0, 1, 1] * 10)), labels=("a", "b"))
    assert with_blanks.split("train").tensors["y"].min() == -1
    assert Arrays((X, np.array([False, True] * 20))).signature.labels == ("0", "1")


def test_numbers_make_a_regression_of_one_or_more_values() -> None:
    one = Arrays((X, X[:, 0]))
    assert [target.name for target in one.signature.targets] == ["value"]
    two = Arrays((X, X[:, :2]))
    assert [target.name for target in two.signature.targets] == ["value_0", "value_1"]
    assert two.split("val").fetch(np.array([0]))["y"].shape == (1, 2)


def test_three_pairs_keep_their_splits() -> None:
    y = np.arange(40) % 2
    pairs = {"train": (X[:20], y[:20]), "val": (X[20:30], y[20:30]), "test": (X[30:], y[30:])}
    source = Arrays(pairs, seed=9)
    assert [len(source.split(name)) for name in ("train", "val", "test")] == [20, 10, 10]
    assert source.raw("test", np.array([0]))[0].tolist() == X[30].tolist()


@pytest.mark.parametrize(
    ("data", "labels", "complaint"),
    [
        ((X, np.zeros(39, int)), None, "x has 40 rows, y has 39"),
        ((X[:, 0], np.zeros(40, int)), None, r"shape \(rows, ...\)"),
        ((np.full((40, 2), "a"), np.zeros(40, int)), None, "x must be numbers"),
        ((np.where(X == 33, np.nan, X), np.zeros(40, int)), None, "row 11: not all values are finite"),
        ((X, np.array([5] * 40)), ("a", "b"), "classes from 5 to 5, there are 2 labels"),
        ((X, np.array(["x"] * 40)), ("a", "b"), "'x', which is not among a, b"),
        ((X, X[:, 0]), ("a", "b"), "no classes"),
        ((X, np.zeros((40, 2), int)), None, r"shape \(rows,\)"),
        ({"train": (X, X)}, None, "give train, val, test, not train"),
        (X, None, "give a pair"),
    ],
)
def test_what_does_not_fit_is_named(data: Any, labels: Any, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        Arrays(data, labels=labels)

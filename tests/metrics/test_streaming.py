"""Streams beyond the contract suite: classes that come up late, shapes that do not fit, nothing approximated."""

from __future__ import annotations

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.metrics import confusion as cm
from lamplighter.metrics.of_labels import Accuracy, FBeta
from lamplighter.metrics.of_probabilities import LogLoss
from lamplighter.metrics.of_scores import ROCAUC
from lamplighter.metrics.of_tags import EntityF1
from lamplighter.metrics.of_values import MAE
from lamplighter.metrics.streaming import ConfusionStream, RowStream, SumStream


def test_a_class_that_comes_up_late_makes_the_matrix_larger() -> None:
    stream = FBeta().stream()
    stream.update(np.array([0, 1]), np.array([0, 0]))
    stream.update(np.array([4]), np.array([2]))
    stream.update(np.array([1]), np.array([1]))
    assert isinstance(stream, ConfusionStream)
    expected = cm.confusion_matrix(np.array([0, 1, 4, 1]), np.array([0, 0, 2, 1]), 5)
    assert np.array_equal(stream.confusion, expected)
    other = FBeta().stream()
    other.update(np.array([6]), np.array([6]))
    stream.merge(other)
    assert stream.confusion.shape == (7, 7) and stream.confusion.sum() == 5


def test_sums_do_not_depend_on_the_order_of_batches_where_floats_would() -> None:
    rng = np.random.default_rng(0)
    value, y = 10.0 ** rng.uniform(-8, 8, size=400), np.zeros(400)
    numbers, naive = set(), set()
    for seed in range(20):
        parts = np.split(np.random.default_rng(seed).permutation(400), 8)
        stream, total = MAE().stream(), 0.0
        for part in parts:
            stream.update(value[part], y[part])
            total += np.abs(value[part]).sum()
        numbers.add(stream.compute())
        naive.add(total / 400)
    assert len(numbers) == 1 < len(naive)


def test_ranking_keeps_every_row_and_a_copy_of_it() -> None:
    p, y = np.array([[0.2, 0.8], [0.9, 0.1]]), np.array([1, 0])
    stream = ROCAUC().stream()
    assert isinstance(stream, RowStream)
    stream.update(p, y)
    p[:], y[:] = 0.5, 0
    assert stream.compute() == 1.0


def test_a_batch_of_another_shape_is_refused_and_leaves_no_trace() -> None:
    stream = LogLoss().stream()
    stream.update(np.array([[0.2, 0.8]]), np.array([1]))
    before = stream.compute()
    with pytest.raises(DataError, match="do not fit"):
        stream.update(np.array([[0.2, 0.8]]), np.array([1, 0]))
    assert stream.compute() == before
    ranked = ROCAUC().stream()
    ranked.update(np.zeros((2, 3)), np.array([0, 1]))
    with pytest.raises(DataError, match="does not fit earlier ones"):
        ranked.update(np.zeros((2, 4)), np.array([0, 1]))
    with pytest.raises(DataError, match="1 predictions do not fit 2 targets"):
        ranked.update(np.zeros((1, 3)), np.array([0, 1]))
    mae = MAE().stream()
    mae.update(np.zeros((2, 2)), np.zeros((2, 2)))
    with pytest.raises(DataError, match="do not fit sums"):
        mae.update(np.zeros(2), np.zeros(2))


def test_merging_into_an_empty_stream_takes_a_copy() -> None:
    full, empty = MAE().stream(), MAE().stream()
    full.update(np.array([1.0]), np.array([0.0]))
    assert isinstance(empty, SumStream)
    empty.merge(full)
    empty.update(np.array([3.0]), np.array([0.0]))
    assert (full.compute(), empty.compute()) == (1.0, 2.0)
    empty.merge(MAE().stream())
    assert empty.compute() == 2.0


def test_types_of_entities_that_come_up_in_another_process() -> None:
    first, second = EntityF1(average="macro").stream(), EntityF1(average="macro").stream()
    first.update([["B-PER"]], [["B-PER"]])
    second.update([["O", "B-LOC"]], [["B-LOC", "O"]])
    first.merge(second)
    assert first.compute() == 0.5 and second.compute() == 0.0


def test_rows_of_a_large_split_take_little_time() -> None:
    predicted, y = np.random.default_rng(0).integers(10, size=(2, 200_000))
    stream = Accuracy().stream()
    for part in range(0, 200_000, 1000):
        stream.update(predicted[part : part + 1000], y[part : part + 1000])
    assert stream.compute() == (predicted == y).mean()

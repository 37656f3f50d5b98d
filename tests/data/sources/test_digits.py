"""digits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from lamplighter.core import registry
from lamplighter.core.errors import DataError
from lamplighter.data.sources.digits import Digits
from lamplighter.data.splits import Splits


def test_images_are_scikit_learns_scaled_to_255() -> None:
    source = Digits()
    ink, labels = load_digits(return_X_y=True)
    positions = source.splits.test
    batch = source.split("test").fetch(np.arange(len(positions)))
    expected = np.floor(ink[positions] * 255 / 16 + 0.5).reshape(-1, 1, 8, 8)
    assert batch["x"].dtype == torch.uint8 and batch["y"].dtype == torch.int64
    assert np.array_equal(batch["x"].numpy(), expected)
    assert batch["x"].max() == 255
    assert np.array_equal(batch["y"].numpy(), labels[positions])


def test_every_row_is_in_one_split() -> None:
    source = Digits(split=(0.5, 0.3, 0.2), seed=4)
    assert [len(source.split(name)) for name in ("train", "val", "test")] == pytest.approx([898.5, 539.1, 359.4], abs=2)
    assert sum(len(source.split(name)) for name in ("train", "val", "test")) == 1797


def test_what_the_server_computes_is_what_was_trained_on() -> None:
    source = Digits()
    indices = np.array([5, 0, 17])
    raw = source.raw("val", indices)
    assert raw[0].shape == (8, 8) and raw[0].dtype == np.uint8
    assert np.array_equal(source.preprocessing(raw)["x"], source.split("val").fetch(indices)["x"].numpy())


def test_signature_and_facts() -> None:
    facts = Digits().signature.facts()
    assert (facts["in_channels"], facts["image_size"], facts["num_classes"]) == (1, (8, 8), 10)
    assert Digits().signature.labels == tuple("0123456789")


def test_statistics_are_of_the_training_split() -> None:
    source = Digits(seed=2)
    x = source.split("train").fetch(np.arange(len(source.splits.train)))["x"].double()
    mean, deviation = source.statistics()["x"]
    assert mean == pytest.approx([x.mean().item()], rel=1e-12)
    assert deviation == pytest.approx([x.std(correction=0).item()], rel=1e-10)
    assert mean != Digits(seed=3).statistics()["x"][0]


def test_built_from_a_recipe_with_a_persisted_split() -> None:
    first = registry.build("source", "digits", {"split": [0.8, 0.1, 0.1]}, {"seed": 1})
    again = registry.build("source", "digits", {}, {"seed": 9, "splits": first.splits})
    assert again.splits == first.splits and again.resolved() == {}


def test_a_split_of_other_data_is_refused() -> None:
    with pytest.raises(DataError, match="the data has 1797 now"):
        Digits(splits=Splits(np.array([0]), np.array([1]), np.array([2])))

"""Rows with masks, and what the values of masks are taken to mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamplighter.core.errors import DataError
from lamplighter.data.sources._mask_coding import coding
from lamplighter.data.sources._masks import MaskRows, mask_preprocessing, mask_signature, pixels_of_classes


def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    return [
        (np.full((1, 2, 3), 5, np.uint8), np.array([[0, 1, -1], [1, 1, 0]], np.int16)),
        (np.full((1, 3, 1), 7, np.uint8), np.array([[1], [0], [0]], np.int16)),
    ]


def test_rows_of_different_sizes_are_filled_up() -> None:
    batch = MaskRows(pairs(), np.array([1, 0]), varying=True).fetch(np.array([1, 0]))
    assert batch["original_size"].tolist() == [[2, 3], [3, 1]]
    assert batch["x"].tolist() == [[[[5, 5, 5], [5, 5, 5], [0, 0, 0]]], [[[7, 0, 0], [7, 0, 0], [7, 0, 0]]]]
    assert batch["y"].tolist() == [[[0, 1, -1], [1, 1, 0], [-1, -1, -1]], [[1, -1, -1], [0, -1, -1], [0, -1, -1]]]


def test_rows_of_one_size_are_one_gather_and_masks_are_int64() -> None:
    tensors = torch.arange(12, dtype=torch.uint8).reshape(3, 1, 2, 2), torch.arange(12).reshape(3, 2, 2).to(torch.int16)
    rows = MaskRows(tensors, np.array([2, 0]))
    batch = rows.fetch(np.array([0, 0, 1]))
    assert set(batch) == {"x", "y"} and batch["y"].dtype == torch.int64
    assert batch["y"][:, 0, 0].tolist() == [8, 8, 0] and len(rows) == 2 and not rows.decodes


def test_pixels_are_counted_where_they_count() -> None:
    assert pixels_of_classes(pairs()[0][1], 3).tolist() == [2, 3, 0]


def test_signature_and_preprocessing_agree_on_sizes() -> None:
    fixed, free = (mask_signature(("a", "b"), size, 3, 8, (8, 9)) for size in ((4, 5), None))
    assert fixed.tensors[0].shape == (3, 4, 5) and fixed.tensors[0].pad is None
    assert free.tensors[0].shape == (3, None, None) and free.tensors[0].pad == 0
    assert fixed.labels == ("a", "b") and free.inputs[0].shape == (8, 9, 3)
    image = np.zeros((8, 9, 3), np.uint8)
    assert mask_preprocessing((4, 5), 3, 8)([image])["x"].shape == (1, 3, 4, 5)
    assert mask_preprocessing(None, 3, 8)([image])["x"].shape == (1, 3, 8, 9)


def test_what_is_said_is_not_guessed() -> None:
    """No file is looked at: there is none."""
    found, labels = coding([], ("a", "b", "c"), None, None, "auto", [])
    assert (found.values, found.ignore, labels) == ((0, 1, 2), 255, ("a", "b", "c"))
    found, labels = coding([], None, None, (4, 255), "auto", [])
    assert (found.values, found.ignore, labels) == ((4, 255), None, ("0", "1"))
    found, _ = coding([], ("a", "b"), ((0, 0, 0), (9, 9, 9)), None, "auto", [])
    assert found.colours and found.ignore is None
    with pytest.raises(DataError, match="is no colour"):
        coding([], ("a", "b"), ((0, 0, 0), (9, 9, 9)), None, 255, [])

"""Pixel arithmetic against float64 references and Pillow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from lamplighter.core.errors import InputError
from lamplighter.core.seeding import generator
from lamplighter.data.preprocessing.pixels import as_image, convert

RNG = generator(0, "pixels")


def image(channels: int, dtype: type = np.uint8) -> np.ndarray:
    return RNG.integers(0, np.iinfo(dtype).max + 1, (31, 17, channels)).astype(dtype)


def test_gray_is_the_luma_pillow_computes() -> None:
    rgb = image(3)
    assert np.array_equal(convert(rgb, 1, 8)[:, :, 0], np.asarray(Image.fromarray(rgb).convert("L")))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_is_within_one_of_the_real_number(dtype: type) -> None:
    rgb = image(3, dtype)
    luma = rgb.astype(np.float64) @ [0.299, 0.587, 0.114]
    bits = 8 if dtype == np.uint8 else 16
    assert np.abs(convert(rgb, 1, bits)[:, :, 0] - luma).max() <= 1
    white = np.full((1, 1, 3), np.iinfo(dtype).max, dtype)
    assert convert(white, 1, bits).item() == np.iinfo(dtype).max


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [2, 4])
def test_transparency_is_composed_on_white(dtype: type, channels: int) -> None:
    given, top = image(channels, dtype), np.iinfo(dtype).max
    alpha = given[:, :, -1:].astype(np.float64) / top
    expected = given[:, :, :-1] * alpha + top * (1 - alpha)
    result = convert(given, channels - 1, 8 if dtype == np.uint8 else 16)
    assert np.abs(result - expected).max() <= 0.5 + 1e-6


def test_between_8_and_16_bits() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    wide = convert(values, 1, 16)
    assert wide.dtype == np.float32
    assert np.array_equal(wide, values.astype(np.float64) * 257)
    assert np.array_equal(convert(wide.astype(np.uint16), 1, 8), values)
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    assert np.array_equal(convert(every, 1, 8), np.floor(every / 257 + 0.5).astype(np.uint8))


def test_16_bits_are_kept_to_the_last() -> None:
    given = image(3, np.uint16)
    assert np.array_equal(convert(given, 3, 16).astype(np.uint16), given)


@pytest.mark.parametrize(
    ("given", "wanted", "expected"),
    [
        ([9], 3, [9, 9, 9]),
        ([9], 2, [9, 255]),
        ([9], 4, [9, 9, 9, 255]),
        ([9, 0], 1, [255]),
        ([9, 255], 3, [9, 9, 9]),
        ([9, 7], 4, [9, 9, 9, 7]),
        ([1, 2, 3], 4, [1, 2, 3, 255]),
        ([200, 200, 200], 2, [200, 255]),
        ([1, 2, 3, 0], 3, [255, 255, 255]),
        ([5, 5, 5, 7], 2, [5, 7]),
        ([1, 2, 3, 4, 5], 5, [1, 2, 3, 4, 5]),
    ],
)
def test_channels(given: list[int], wanted: int, expected: list[int]) -> None:
    assert convert(np.array([[given]], np.uint8), wanted, 8).tolist() == [[expected]]


@pytest.mark.parametrize(("given", "wanted"), [(5, 3), (3, 5), (28, 1)])
def test_channels_that_nobody_can_guess(given: int, wanted: int) -> None:
    with pytest.raises(InputError, match=f"has {given} channels, this model takes {wanted}"):
        convert(np.zeros((2, 2, given), np.uint8), wanted, 8)


def test_floats_of_16_bit_models_keep_their_fractions() -> None:
    given = as_image([[0.5, 65535.0]], 16)
    assert convert(given, 1, 16).tolist() == [[[0.5], [65535.0]]]
    assert convert(as_image([[[100.5, 0.0]]], 16), 1, 16).item() == 65535
    assert convert(as_image([[[100.0, 100.0, 100.0]]], 16), 1, 16).item() == pytest.approx(100)


@pytest.mark.parametrize("value", [[[0, 255]], np.array([[0, 255]]), np.array([[0.0, 255.0]]), ((0, 255),)])
def test_numbers_of_any_type_count_in_the_models_range(value: Any) -> None:
    assert as_image(value, 8).tolist() == [[[0], [255]]]
    assert as_image(value, 8).dtype == np.uint8


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([[0, 256]], "values from 0 to 256; this model takes 0..255"),
        ([[-1, 3]], "values from -1 to 3"),
        ([[0.5]], "fractions"),
        ([[float("nan")]], "values from nan"),
        ([[float("inf")]], "to inf"),
        ([[1, 2], [3]], "different length"),
        ([], "shape"),
        ([[]], "shape"),
        ([1, 2], "shape"),
        ([[[[1]]]], "shape"),
        ([["a"]], "no pixels"),
        ([[None]], "no pixels"),
        ([[True]], "no pixels"),
        (np.array([[1j]]), "no pixels"),
        (7, "int is no image"),
        (None, "NoneType is no image"),
    ],
)
def test_what_is_no_image(value: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        as_image(value, 8)

"""Sizes by formula are the real ones, over a grid of all parameters, and errors come exactly where torch raises."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import pytest
import torch
from torch import nn

from lamplighter import models
from lamplighter.core.errors import LamplighterError

SIZES = (1, 2, 3, 5, 8, 13)


def real(layer: nn.Module, size: tuple[int, ...]) -> tuple[int, ...] | None:
    """What torch gives; None where it raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of 'same' with even kernels: a copy is made
            return tuple(layer(torch.zeros(1, 2, *size)).shape[2:])
    except (RuntimeError, ValueError):
        return None


def ours(layer: Any, size: Any, **params: Any) -> Any:
    try:
        return models.output_size(layer, size, **params)
    except LamplighterError:
        return None


def compare(make: Any, operation: str, grid: dict[str, tuple[Any, ...]]) -> None:
    """Every combination, through the layer and through the parameters; both answers and errors must occur."""
    answers = errors = 0
    for values in itertools.product(*grid.values()):
        params = dict(zip(grid, values))
        try:
            layer = make(**params)
        except ValueError:  # 'same' with a stride is refused by the constructor already
            layer = None
        for size in SIZES:
            expected = real(layer, (size,)) if layer is not None else None
            found = ours(operation, size, **params)
            assert (expected and expected[0]) == found, (operation, size, params, expected, found)
            if layer is not None:
                assert ours(layer, (size,)) == expected, (layer, size)
            answers += expected is not None
            errors += expected is None
    assert answers > 50 and errors > 5


def test_convolutions() -> None:
    grid: dict[str, tuple[Any, ...]] = {
        "kernel_size": (1, 2, 3, 5), "stride": (1, 2, 3), "padding": (0, 1, 3, "same", "valid"), "dilation": (1, 2, 4),
    }  # fmt: skip
    compare(lambda **p: nn.Conv1d(2, 1, **p), "conv", grid)


def test_transposed_convolutions() -> None:
    grid: dict[str, tuple[Any, ...]] = {
        "kernel_size": (1, 2, 3, 5), "stride": (1, 2, 3), "padding": (0, 1, 3), "dilation": (1, 2),
        "output_padding": (0, 1, 2),
    }  # fmt: skip
    compare(lambda **p: nn.ConvTranspose1d(2, 1, **p), "transposed-conv", grid)


def test_max_pools() -> None:
    grid: dict[str, tuple[Any, ...]] = {
        "kernel_size": (1, 2, 3, 5), "stride": (None, 1, 2, 4), "padding": (0, 1, 2), "dilation": (1, 2, 3),
        "ceil_mode": (False, True),
    }  # fmt: skip
    compare(lambda **p: nn.MaxPool1d(**p), "max-pool", grid)


def test_average_pools() -> None:
    grid: dict[str, tuple[Any, ...]] = {
        "kernel_size": (1, 2, 3, 5), "stride": (None, 1, 2, 4), "padding": (0, 1, 2), "ceil_mode": (False, True),
    }  # fmt: skip
    compare(lambda **p: nn.AvgPool1d(**p), "avg-pool", grid)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_padding_that_copies_the_input(mode: str) -> None:
    for padding, size in itertools.product((0, 1, 2, 4), SIZES):
        layer = nn.Conv1d(2, 1, 3, padding=padding, padding_mode=mode)
        assert ours(layer, (size,)) == real(layer, (size,)), (padding, size)


def test_two_and_three_dimensions_with_parameters_for_each() -> None:
    layers = [
        nn.Conv2d(2, 1, (3, 5), stride=(2, 1), padding=(0, 2), dilation=(1, 2)),
        nn.ConvTranspose2d(2, 1, (3, 2), stride=(2, 3), padding=(1, 0), output_padding=(1, 2)),
        nn.MaxPool2d((2, 3), ceil_mode=True, padding=(1, 0)),
        nn.AvgPool2d(3, stride=(1, 2)),
        nn.AdaptiveAvgPool2d((None, 3)),
        nn.AdaptiveMaxPool2d(2),
        nn.Conv2d(2, 1, (2, 4), padding="same"),
    ]
    for layer in layers:
        for size in ((9, 12), (16, 7)):
            assert ours(layer, size) == real(layer, size), layer
    assert models.output_size(nn.Conv3d(2, 1, 3, stride=2), (9, 8, 7)) == (4, 3, 3)
    assert models.output_size("conv", (32, 20), kernel_size=(3, 5), padding=(1, 0)) == (32, 16)


def test_the_source_texts_numbers() -> None:
    """Topic 23: with dilation 2 it is 30, not 32; -2 is an error; topic 24: 33 -> 16, or 17 with ceil_mode."""
    assert models.output_size("conv", 32, kernel_size=3, padding=1, dilation=2) == 30
    with pytest.raises(LamplighterError, match="the kernel spans 5 positions, the input with its padding has 2"):
        models.output_size("conv", 2, kernel_size=5)
    assert models.output_size("max-pool", 33, kernel_size=2) == 16
    assert models.output_size("max-pool", 33, kernel_size=2, ceil_mode=True) == 17


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"kernel_size": 3, "stride": 0}, "stride must be at least 1, not 0"),
        ({"kernel_size": 0}, "kernel_size must be at least 1"),
        ({"kernel_size": 3, "padding": -1}, "padding must be at least 0"),
        ({}, "kernel_size is missing"),
        ({"kernel_size": (3, 3, 3)}, "kernel_size has 3 entries, the size has 1"),
        ({"kernel_size": 3, "stride": 2, "padding": "same"}, "needs a stride of 1"),
    ],
)
def test_mistakes_are_named(params: dict[str, Any], complaint: str) -> None:
    with pytest.raises(LamplighterError, match=complaint):
        models.output_size("conv", 8, **params)
    with pytest.raises(LamplighterError, match="ReLU is neither a convolution nor a pooling"):
        models.output_size(nn.ReLU(), 8)

"""random-shift, against a loop that moves one image at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lamplighter.core.errors import DataError
from lamplighter.data.augment.shift import RandomShift


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def moved(image: Tensor, dy: int, dx: int, padding: str) -> Tensor:
    """The reference: pad, then cut out a window."""
    array = image.double().numpy()
    margin = max(abs(dy), abs(dx))
    mode = {"zero": "constant", "edge": "edge"}[padding]
    wide = np.pad(array, ((0, 0), (margin, margin), (margin, margin)), mode=mode)  # type: ignore[call-overload]
    height, width = array.shape[1:]
    top, left = margin - dy, margin - dx
    return torch.from_numpy(wide[:, top : top + height, left : left + width]).to(image.dtype)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("padding", ["zero", "edge"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_is_moved_by_its_own_offset(dtype: torch.dtype, padding: str, channels: int) -> None:
    x = torch.randint(1, 256, (300, channels, 6, 9), generator=generator(1)).to(dtype)
    result = RandomShift(pixels=2, padding=padding)({"x": x}, generator())["x"]  # type: ignore[arg-type]
    assert result.dtype == dtype and result.shape == x.shape
    seen = set()
    for before, after in zip(x, result):
        fits = [
            (dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if torch.equal(after, moved(before, dy, dx, padding))
        ]
        assert len(fits) == 1
        seen.add(fits[0])
    assert len(seen) == 25


def test_offsets_are_even() -> None:
    x = torch.zeros(20_000, 1, 5, 5, dtype=torch.uint8)
    x[:, 0, 2, 2] = 1
    result = RandomShift(pixels=1)({"x": x}, generator())["x"]
    shares = result.double().mean(dim=(0, 1))[1:4, 1:4]
    assert torch.allclose(shares, torch.full((3, 3), 1 / 9, dtype=torch.double), atol=0.012)


def test_further_than_the_image_is_wide() -> None:
    x = torch.ones(50, 1, 2, 2)
    zero = RandomShift(pixels=9)({"x": x}, generator())["x"]
    assert (zero.flatten(1).sum(1) == 0).any()
    assert torch.equal(RandomShift(pixels=9, padding="edge")({"x": x}, generator())["x"], x)


def test_infinite_values_do_not_leak_into_the_padding() -> None:
    x = torch.full((30, 1, 3, 3), float("inf"))
    result = RandomShift(pixels=2)({"x": x}, generator())["x"]
    assert not result.isnan().any() and (result == 0).any()


def test_the_generator_decides_and_the_batch_stays() -> None:
    x = torch.randint(0, 256, (64, 3, 8, 8), dtype=torch.uint8, generator=generator(3))
    batch = {"x": x.clone(), "y": torch.arange(64)}
    first = RandomShift()(batch, generator(1))
    assert torch.equal(batch["x"], x) and torch.equal(first["y"], batch["y"])
    assert torch.equal(RandomShift()(batch, generator(1))["x"], first["x"])
    assert not torch.equal(RandomShift()(batch, generator(2))["x"], first["x"])


def test_channels_last_works() -> None:
    x = torch.randint(0, 256, (8, 3, 6, 6), dtype=torch.uint8, generator=generator(3))
    expected = RandomShift()({"x": x}, generator(1))["x"]
    assert torch.equal(RandomShift()({"x": x.to(memory_format=torch.channels_last)}, generator(1))["x"], expected)


def test_another_device() -> None:
    x = torch.zeros(4, 1, 8, 8, device="meta")
    assert RandomShift()({"x": x}, generator())["x"].device.type == "meta"


def test_tables_are_refused() -> None:
    with pytest.raises(DataError, match=r"augment 'random-shift' .* has 'x' of shape \(4, 9\)"):
        RandomShift()({"x": torch.zeros(4, 9)}, generator())

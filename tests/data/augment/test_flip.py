"""random-flip."""

from __future__ import annotations

import pytest
import torch

from lamplighter.core.errors import DataError
from lamplighter.data.augment.flip import RandomFlip

DTYPES = [torch.uint8, torch.float32, torch.bfloat16, torch.float64]


def images(rows: int = 400, dtype: torch.dtype = torch.uint8) -> torch.Tensor:
    return torch.randint(0, 256, (rows, 3, 5, 7), generator=torch.Generator().manual_seed(0)).to(dtype)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_image_is_itself_or_its_mirror_image(dtype: torch.dtype) -> None:
    x = images(dtype=dtype)
    result = RandomFlip()({"x": x, "y": torch.arange(400)}, generator())
    assert result["x"].dtype == dtype
    flipped = 0
    for before, after in zip(x, result["x"]):
        mirrored = torch.stack([before[:, :, column] for column in reversed(range(7))], dim=2)
        assert torch.equal(after, before) or torch.equal(after, mirrored)
        flipped += int(torch.equal(after, mirrored))
    assert 150 < flipped < 250  # 5 standard deviations around 200
    assert torch.equal(result["y"], torch.arange(400))


def test_p_zero_and_one() -> None:
    x = images()
    assert torch.equal(RandomFlip(p=0)({"x": x}, generator())["x"], x)
    assert torch.equal(RandomFlip(p=1)({"x": x}, generator())["x"], x.flip(3))


def test_the_batch_given_stays_as_it_is() -> None:
    x = images()
    batch = {"x": x.clone()}
    RandomFlip(p=1)(batch, generator())
    assert torch.equal(batch["x"], x)


def test_the_generator_decides() -> None:
    x = images()
    first = RandomFlip()({"x": x}, generator(1))["x"]
    torch.manual_seed(5)
    assert torch.equal(RandomFlip()({"x": x}, generator(1))["x"], first)
    assert not torch.equal(RandomFlip()({"x": x}, generator(2))["x"], first)


def test_another_device() -> None:
    result = RandomFlip()({"x": images().to("meta")}, generator())
    assert result["x"].device.type == "meta" and result["x"].shape == (400, 3, 5, 7)


@pytest.mark.parametrize("batch", [{"x": torch.zeros(4, 9)}, {"tokens": torch.zeros(4, 9)}])
def test_data_without_images_is_refused(batch: dict[str, torch.Tensor]) -> None:
    with pytest.raises(DataError, match="augment 'random-flip' works on images"):
        RandomFlip()(batch, generator())

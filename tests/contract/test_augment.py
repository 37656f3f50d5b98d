"""What every augment must hold: batched tensor code that changes pictures, never shapes, types or targets."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lamplighter.core import registry

NAMES = registry.names("augment")
PARAMS = {"random-crop": {"height": 5, "width": 4}}
"""What makes an augmentation change pictures as small as those here, where its defaults do not."""
SHAPES = [(6, 1, 8, 8), (4, 3, 9, 14), (1, 2, 5, 3)]


def batch(shape: tuple[int, ...], dtype: torch.dtype) -> dict[str, Tensor]:
    """Random pictures with targets and a key that no augment knows."""
    x = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    return {"x": x, "y": torch.arange(shape[0]), "weight": torch.ones(shape[0])}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_shapes_types_and_targets_stay(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    given = batch(shape, dtype)
    kept = {key: value.clone() for key, value in given.items()}
    result = registry.build("augment", name, {})(given, torch.Generator().manual_seed(1))
    assert set(result) == set(given)
    assert result["x"].shape == shape
    assert result["x"].dtype == dtype
    assert torch.equal(result["y"], kept["y"])
    assert torch.equal(result["weight"], kept["weight"])
    assert all(torch.equal(given[key], kept[key]) for key in kept), "the batch given was changed in place"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", NAMES)
def test_a_mask_goes_where_its_image_goes(name: str, seed: int) -> None:
    """The mask is the image's own first channel, so after any move they must still be equal where the mask counts."""
    x = batch((8, 3, 9, 14), torch.uint8)["x"]
    augment, generator = registry.build("augment", name, PARAMS.get(name, {})), torch.Generator().manual_seed(seed)
    moved = augment({"x": x, "y": x[:, 0].long()}, generator)
    counts = moved["y"] >= 0
    assert moved["y"].dtype == torch.int64 and counts.float().mean() > 0.5
    assert torch.equal(moved["y"][counts], moved["x"][:, 0].long()[counts])


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_alone_decides(name: str) -> None:
    augment = registry.build("augment", name, PARAMS.get(name, {}))
    given = batch((16, 3, 9, 14), torch.uint8)
    torch.manual_seed(0)
    first = augment(given, torch.Generator().manual_seed(7))["x"]
    torch.manual_seed(1)
    again = augment(given, torch.Generator().manual_seed(7))["x"]
    assert torch.equal(first, again)
    assert not torch.equal(first, augment(given, torch.Generator().manual_seed(8))["x"])


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_changed_independently(name: str) -> None:
    """One draw for a whole batch would give equal results for equal pictures."""
    picture = torch.randint(0, 256, (1, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    equal = {"x": picture.expand(32, 1, 8, 8).clone(), "y": torch.zeros(32, dtype=torch.int64)}
    result = registry.build("augment", name, PARAMS.get(name, {}))(equal, torch.Generator().manual_seed(3))["x"]
    assert len({row.numpy().tobytes() for row in result}) > 1

"""InputNorm: the scaling that travels inside the exported network."""

from __future__ import annotations

import pytest
import torch

from lamplighter.nn.input_norm import InputNorm

MEAN, STD = [10.0, 100.0, 200.0], [1.0, 50.0, 5.0]


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (4, 3, 5, 6)])
def test_each_channel_is_standardised_by_its_own_numbers(shape: tuple[int, ...]) -> None:
    x = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    result = InputNorm(MEAN, STD).double()(x)
    for channel in range(3):
        expected = (x[:, channel].double() - MEAN[channel]) / STD[channel]
        torch.testing.assert_close(result[:, channel], expected, rtol=1e-12, atol=1e-12)


def test_bytes_do_not_wrap_around() -> None:
    x = torch.tensor([[[[0]]]], dtype=torch.uint8)
    assert InputNorm([255.0], [1.0])(x).item() == -255.0


def test_floats_and_bytes_give_the_same() -> None:
    x = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(InputNorm(MEAN, STD)(x), InputNorm(MEAN, STD)(x.float()))


def test_one_number_serves_all_channels() -> None:
    x = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(InputNorm([0.5], [0.25])(x), InputNorm([0.5] * 3, [0.25] * 3)(x))


def test_a_constant_channel_gives_zeros_and_not_nan() -> None:
    assert InputNorm([7.0], [0.0])(torch.full((2, 1, 3, 3), 7.0)).abs().max() == 0


def test_the_numbers_are_saved_and_not_trained() -> None:
    layer = InputNorm(MEAN, STD)
    assert list(layer.state_dict()) == ["mean", "std"]
    assert list(layer.parameters()) == []


def test_stays_float32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        result = InputNorm([0.0], [1.0])(torch.tensor([[65535.0]]))
    assert result.dtype == torch.float32
    assert result.item() == 65535.0

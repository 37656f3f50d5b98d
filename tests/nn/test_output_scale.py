"""OutputScale: from standardised numbers to units and back."""

from __future__ import annotations

import torch

from lamplighter.nn.output_scale import OutputScale


def test_scales_each_target_by_its_own_numbers() -> None:
    scale = OutputScale([200.0, -1.0], [50.0, 0.1]).double()
    z = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = scale(z)
    torch.testing.assert_close(y[:, 0], z[:, 0] * 50 + 200, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(y[:, 1], z[:, 1] * scale.std[1] - 1, rtol=1e-12, atol=1e-12)


def test_standardise_is_the_inverse_and_keeps_blanks() -> None:
    scale = OutputScale([200.0], [50.0]).double()
    y = torch.tensor([[100.0], [float("nan")], [275.0]], dtype=torch.float64)
    z = scale.standardise(y)
    assert z[0].item() == -2.0
    assert torch.isnan(z[1])
    torch.testing.assert_close(scale(z), y, rtol=1e-12, atol=0, equal_nan=True)


def test_a_target_that_never_varies_is_left_finite() -> None:
    scale = OutputScale([3.0], [0.0])
    assert scale.standardise(torch.tensor([[3.0]])).item() == 0.0


def test_answers_are_float32_when_the_network_computes_in_16_bits() -> None:
    assert OutputScale([200.0], [50.0])(torch.ones(1, 1, dtype=torch.bfloat16)).dtype == torch.float32

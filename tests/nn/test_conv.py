"""ConvNormAct against convolution and normalisation written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lamplighter.nn.conv import ConvNormAct


def by_hand(layer: ConvNormAct, x: Tensor, training: bool) -> Tensor:
    """Patches times kernel matrix, then the formula of batch normalisation."""
    conv, norm = layer.conv, layer.norm
    patches = nn.functional.unfold(x, conv.kernel_size, padding=conv.padding, stride=conv.stride)  # type: ignore[arg-type]
    h = torch.einsum("kp,npl->nkl", conv.weight.flatten(1), patches)
    side = [(size - 1) // conv.stride[0] + 1 for size in x.shape[2:]]
    h = h.unflatten(2, side)
    assert norm.running_mean is not None and norm.running_var is not None
    mean, var = norm.running_mean, norm.running_var
    if training:
        mean, var = h.mean((0, 2, 3)), h.var((0, 2, 3), unbiased=False)
    shape = (1, -1, 1, 1)
    h = (h - mean.view(shape)) / torch.sqrt(var.view(shape) + norm.eps)
    return (h * norm.weight.view(shape) + norm.bias.view(shape)).clamp(min=0)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 1), (5, 2)])
def test_equals_the_formula_with_all_parameters_random(kernel: int, stride: int, training: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    layer = ConvNormAct(3, 4, kernel, stride).double().train(training)
    with torch.no_grad():
        for tensor in [*layer.parameters(), layer.norm.running_mean]:
            assert tensor is not None
            tensor.copy_(torch.randn(tensor.shape, generator=generator, dtype=torch.float64))
        assert layer.norm.running_var is not None
        layer.norm.running_var.uniform_(0.5, 1.5, generator=generator)
    x = torch.randn(5, 3, 9, 8, dtype=torch.float64, generator=generator, requires_grad=True)
    expected = by_hand(layer, x, training)
    actual = layer(x)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
    weights = torch.randn(actual.shape, dtype=torch.float64, generator=generator)
    ours = torch.autograd.grad((actual * weights).sum(), [x, *layer.parameters()])
    theirs = torch.autograd.grad((expected * weights).sum(), [x, *layer.parameters()])
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_the_convolution_has_no_bias() -> None:
    assert ConvNormAct(1, 2).conv.bias is None


def test_weights_are_drawn_as_he_et_al_propose() -> None:
    layer = ConvNormAct(64, 256)
    assert abs(layer.conv.weight.std().item() / (2 / (256 * 9)) ** 0.5 - 1) < 0.02


def test_the_activation_can_be_chosen() -> None:
    x = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    assert ConvNormAct(1, 2, activation="silu")(x).min() < 0

"""ConvNormAct against convolution and normalisation written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.models._utils import _make_divisible

from lamplighter.nn.conv import ConvNormAct, conv_norm_act, divisible, initialise_convolutions, same_conv


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


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_convolves_patch_by_patch_within_each_group(kernel: int, stride: int, dilation: int, groups: int) -> None:
    """Unfolded patches times the kernels of each group; output sizes and gradients, too."""
    generator = torch.Generator().manual_seed(0)
    layer = ConvNormAct(4, 8, kernel, stride, groups=groups, dilation=dilation)
    conv = layer.conv.double()
    x = torch.randn(2, 4, 9, 8, dtype=torch.float64, generator=generator, requires_grad=True)
    reach = dilation * (kernel - 1) // 2
    patches = nn.functional.unfold(x, kernel, dilation, reach, stride)
    patches = patches.unflatten(1, (groups, 4 // groups * kernel * kernel))
    kernels = conv.weight.flatten(1).unflatten(0, (groups, 8 // groups))
    expected = torch.einsum("goc,ngcl->ngol", kernels, patches).flatten(1, 2)
    side = [(size + 2 * reach - dilation * (kernel - 1) - 1) // stride + 1 for size in (9, 8)]
    actual = conv(x)
    assert actual.shape == (2, 8, *side) == (2, 8, -(-9 // stride), -(-8 // stride))
    torch.testing.assert_close(actual.flatten(2), expected, rtol=1e-10, atol=1e-12)
    weights = torch.randn(expected.shape, dtype=torch.float64, generator=generator)
    ours = torch.autograd.grad((actual.flatten(2) * weights).sum(), [x, conv.weight])
    theirs = torch.autograd.grad((expected * weights).sum(), [x, conv.weight])
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_a_1x1_convolution_is_a_linear_layer_of_the_same_weights() -> None:
    conv = same_conv(5, 7, 1).double()
    linear = nn.Linear(5, 7, bias=False).double()
    linear.weight.data = conv.weight.data.view(7, 5)
    x = torch.randn(2, 5, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(conv(x), linear(x.movedim(1, 3)).movedim(3, 1), rtol=1e-12, atol=1e-12)


def test_a_shifted_image_gives_the_shifted_map_away_from_the_border() -> None:
    """A convolution is equivariant: it moves with the image. It is not invariant: the map is another one."""
    conv = same_conv(1, 2, 3).double()
    x = torch.randn(1, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    moved, here = conv(x.roll(1, 3)), conv(x)
    torch.testing.assert_close(moved[..., 2:-1], here.roll(1, 3)[..., 2:-1], rtol=1e-12, atol=1e-12)
    assert (moved - here).abs().max() > 0.1


def test_a_convolution_sees_its_neighbourhood_alone_and_has_one_kernel_for_all_places() -> None:
    conv = same_conv(3, 64, 3)
    assert sum(p.numel() for p in conv.parameters()) == 3 * 3 * 3 * 64
    assert sum(p.numel() for p in nn.Conv2d(3, 64, 3).parameters()) == 1792, "with one bias for each output"
    x = torch.randn(1, 3, 9, 9, requires_grad=True)
    conv(x)[0, :, 4, 4].sum().backward()
    assert x.grad is not None
    seen = x.grad[0].abs().sum(0) > 0
    assert seen[3:6, 3:6].all() and seen.sum() == 9


def test_epsilon_and_momentum_reach_the_normalisation() -> None:
    norm = ConvNormAct(1, 2, eps=1e-3, momentum=0.01).norm
    assert (norm.eps, norm.momentum) == (1e-3, 0.01)
    unit = conv_norm_act(1, 2, eps=1e-3, momentum=0.01, activation=None)
    assert isinstance(unit[1], nn.BatchNorm2d)
    assert (unit[1].eps, unit[1].momentum, len(unit)) == (1e-3, 0.01, 2)


def test_what_a_convolution_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="kernel_size is 4"):
        ConvNormAct(2, 2, 4)
    with pytest.raises(ValueError, match="groups=3 does not divide 4 channels in, 6 out"):
        conv_norm_act(4, 6, groups=3)


def test_the_start_lets_the_signal_pass_grouped_layers() -> None:
    """N(0, 2 / fan_out) with the fan_out of a group: the variance after a depthwise convolution and ReLU stays."""
    layer = nn.Conv2d(512, 512, 3, groups=512, bias=True)
    full = nn.Conv2d(64, 256, 3)
    initialise_convolutions(nn.Sequential(layer, full))
    assert abs(layer.weight.std().item() / (2 / 9) ** 0.5 - 1) < 0.02
    assert abs(full.weight.std().item() / (2 / (256 * 9)) ** 0.5 - 1) < 0.02
    assert layer.bias is not None and (layer.bias == 0).all()


@pytest.mark.parametrize("width", [0.1, 0.35, 0.5, 0.75, 1.0, 1.3, 1.4, 2.0])
def test_widths_are_rounded_as_torchvision_rounds_them(width: float) -> None:
    for channels in (16, 24, 32, 40, 96, 160, 320, 1280):
        assert divisible(channels * width) == _make_divisible(channels * width, 8)

"""Residual blocks against torchvision's, and against their formula."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from lamplighter.nn.residual import BasicBlock, Bottleneck, projection


def randomised(model: nn.Module) -> nn.Module:
    """Everything random, in float64."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.double().state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif tensor.is_floating_point():
                scale = tensor[0].numel() ** -0.5 if tensor.dim() > 1 else 1.0
                tensor.copy_(scale * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype))
    return model.eval()


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def relative(ours: Tensor, reference: Tensor) -> float:
    return float((ours - reference).detach().abs().max() / reference.detach().abs().max())


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("block", "channels"), [(BasicBlock, 64), (BasicBlock, 32), (Bottleneck, 256), (Bottleneck, 64)]
)
def test_loads_torchvisions_block_and_equals_it(block: Any, channels: int, stride: int) -> None:
    theirs = getattr(torchvision.models.resnet, block.__name__)
    out = 64 * block.expansion
    down = None
    if stride != 1 or channels != out:
        down = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
    reference = randomised(theirs(channels, 64, stride, down))
    ours = block(channels, 64, stride).double().eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    x = images(2, channels, 9, 7)
    assert relative(ours(x), reference(x)) <= 1e-12
    assert ours(x).shape == (2, out, -(-9 // stride), -(-7 // stride))


def test_bottleneck_loads_the_first_block_of_torchvisions_resnet50() -> None:
    reference = randomised(torchvision.models.resnet50()).get_submodule("layer1.0")
    ours = Bottleneck(64, 64).double().eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    x = images(2, 64, 8, 8)
    assert relative(ours(x), reference(x)) <= 1e-12


def by_hand(block: BasicBlock, x: Tensor) -> Tensor:
    """relu(x + norm(conv(relu(norm(conv(x)))))), from unfolded patches and the formula of the normalisation."""
    h = x
    for conv, norm, last in ((block.conv1, block.bn1, False), (block.conv2, block.bn2, True)):
        patches = nn.functional.unfold(h, 3, padding=1)
        h = (conv.weight.flatten(1) @ patches).view(len(x), -1, *x.shape[2:])
        mean, var, gain, bias = (
            t.view(1, -1, 1, 1) for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )  # type: ignore[union-attr]
        h = (h - mean) / torch.sqrt(var + 1e-5) * gain + bias
        h = h + x if last else h
        h = h.clamp(min=0)
    return h


def test_a_basic_block_is_its_formula() -> None:
    block = randomised(BasicBlock(8, 8))
    x = images(2, 8, 6, 5)
    assert relative(block(x), by_hand(block, x)) <= 1e-12  # type: ignore[arg-type]


def test_a_1x1_convolution_is_a_linear_layer_at_every_pixel() -> None:
    block = randomised(Bottleneck(16, 4))
    x = images(2, 16, 5, 6)
    weight: Any = block.conv1.weight
    linear = torch.einsum("nchw,oc->nohw", x, weight[:, :, 0, 0])
    assert relative(block.conv1(x), linear) <= 1e-12  # type: ignore[operator]


def test_the_gradient_passes_the_sum_untouched() -> None:
    """Where the residual part is 0 the block hands on its input, and the gradient as it came."""
    block = BasicBlock(4, 4).double().eval()
    nn.init.zeros_(block.last_norm.weight)
    x = images(1, 4, 5, 5).abs().requires_grad_()
    block(x).sum().backward()
    assert torch.equal(block(x), x)
    assert x.grad is not None and torch.equal(x.grad, torch.ones_like(x))


def test_a_projection_only_where_the_shape_changes() -> None:
    assert projection(8, 8, 1) is None
    for made in (projection(8, 8, 2), projection(8, 16, 1)):
        assert isinstance(made, nn.Sequential) and isinstance(made[0], nn.Conv2d) and made[0].bias is None


def test_a_basic_block_has_no_groups() -> None:
    with pytest.raises(ValueError, match="use Bottleneck"):
        BasicBlock(64, 64, groups=2)
    with pytest.raises(ValueError, match="use Bottleneck"):
        BasicBlock(64, 64, base_width=128)


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_stochastic_depth_leaves_the_shortcut_alone(block: Any) -> None:
    """An image passes a training step unchanged, or with the branch scaled up so that the mean stays."""
    channels = 16 * block.expansion
    made = block(channels, 16, stochastic_depth=0.5).double()
    x = images(64, channels, 4, 4).abs()
    torch.manual_seed(0)
    skipped = (made.train()(x) == x).all(3).all(2).all(1)
    assert 16 < skipped.sum() < 48
    plain = block(channels, 16).double()
    plain.load_state_dict(made.state_dict())
    torch.testing.assert_close(made.eval()(x), plain.eval()(x), rtol=0, atol=0)
    made.skip.p = 0.0
    assert not (made.train()(x) == x).all(3).all(2).all(1).any()


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_dilation_spreads_the_taps(block: Any) -> None:
    """The reach of a block's gradient: one 3x3 convolution of dilation d reaches d far, two reach 2 d."""
    made = randomised(block(16 * block.expansion, 16, dilation=3))
    x = images(1, 16 * block.expansion, 21, 21).requires_grad_()
    made(x)[0, :, 10, 10].sum().backward()
    assert x.grad is not None
    rows = (x.grad[0].abs().sum((0, 2)) > 0).nonzero().flatten().tolist()
    reach = 6 if block is BasicBlock else 3
    assert rows == list(range(10 - reach, 11 + reach, 3))

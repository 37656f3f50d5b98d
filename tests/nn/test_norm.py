"""Normalisations against torch's kernels in float64: forward, backward, running statistics; and topic 8's numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from parity import noise, relative
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.nn import norm as norms
from lamplighter.nn.norm import norm


def same(ours: Callable[..., Tensor], theirs: Callable[..., Tensor], *tensors: Tensor) -> None:
    """Outputs and the gradient of every tensor."""
    results = []
    for function in (ours, theirs):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        output = function(*leaves)
        (output * torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)).sum().backward()
        results.append([output.detach(), *[leaf.grad for leaf in leaves]])
    for a, b in zip(*results, strict=True):
        assert relative(a, b) < 1e-12  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(6, 4), (3, 4, 7), (2, 4, 5, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(shape: tuple[int, ...], training: bool) -> None:
    x, weight, bias = 3 * noise(*shape) + 5, noise(4, seed=2), noise(4, seed=3)
    mine, theirs = [[noise(4, seed=4), noise(4, seed=5).abs() + 0.5] for _ in range(2)]
    same(
        lambda x, w, b: norms.batch_norm(x, w, b, *mine, training, momentum=0.3, eps=1e-3),
        lambda x, w, b: F.batch_norm(x, *theirs, w, b, training, 0.3, 1e-3),
        x, weight, bias,
    )  # fmt: skip
    for a, b in zip(mine, theirs):
        assert relative(a, b) < 1e-12


def test_layer_group_instance_and_rms_norm() -> None:
    x, weight, bias = 2 * noise(3, 6, 5, 4) - 1, noise(6, seed=2), noise(6, seed=3)
    rows, gain, shift = noise(3, 7, 9), noise(9, seed=2), noise(9, seed=3)
    same(
        lambda x, w, b: norms.layer_norm(x, w, b, 1e-3),
        lambda x, w, b: F.layer_norm(x, (9,), w, b, 1e-3),
        *(rows, gain, shift),
    )
    same(lambda x, w: norms.rms_norm(x, w, 1e-3), lambda x, w: F.rms_norm(x, (9,), w, 1e-3), rows, gain)
    for groups in (1, 2, 3, 6):
        same(
            lambda x, w, b, groups=groups: norms.group_norm(x, groups, w, b, 1e-3),
            lambda x, w, b, groups=groups: F.group_norm(x, groups, w, b, 1e-3),
            *(x, weight, bias),
        )
    same(
        lambda x, w, b: norms.instance_norm(x, w, b, 1e-3),
        lambda x, w, b: F.instance_norm(x, weight=w, bias=b, eps=1e-3),
        *(x, weight, bias),
    )


@pytest.mark.parametrize("name", ["batch", "layer", "rms"])
def test_the_modules_that_networks_use_are_these_formulas(name: norms.NormName) -> None:
    module = norm(name, 5).double()
    x = 3 * noise(8, 5) + 2
    parameters = [noise(5, seed=i) for i, _ in enumerate(module.parameters())]
    for parameter, value in zip(module.parameters(), parameters):
        parameter.data.copy_(value)
    mean, var = torch.zeros(5, dtype=torch.float64), torch.ones(5, dtype=torch.float64)
    formula = {
        "batch": lambda: norms.batch_norm(x, *parameters, mean, var, True),
        "layer": lambda: norms.layer_norm(x, *parameters),
        "rms": lambda: norms.rms_norm(x, *parameters),
    }
    assert relative(module(x), formula[name]()) < 1e-12


def test_topic_8_numbers() -> None:
    """N(5, 3) in: mean 0 and *biased* deviation 1 out in training; at inference not yet, since a step moves 10%."""
    x = 3 * noise(32, 10) + 5
    module = nn.BatchNorm1d(10).double()
    trained = module(x)
    assert trained.mean(0).abs().max() < 1e-6
    torch.testing.assert_close(trained.std(0, unbiased=False), torch.ones(10).double(), rtol=0, atol=1e-4)
    unbiased = (32 / 31) ** 0.5
    torch.testing.assert_close(trained.std(0), torch.full((10,), unbiased).double(), rtol=0, atol=1e-4)
    inference = module.eval()(x).detach()
    assert 2.5 < float(inference.mean()) < 4.5 and 1.8 < float(inference.std()) < 2.8
    expected = (x - 0.1 * x.mean(0)) / torch.sqrt(0.9 + 0.1 * x.var(0) + 1e-5)
    torch.testing.assert_close(inference, expected)


def test_the_running_mean_nears_the_true_one_geometrically() -> None:
    mean, var = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    for step in range(1, 31):
        norms.batch_norm(3 * noise(4096, 1, seed=step) + 5, one, one, mean, var, True)
        assert abs(mean.item() - 5 * (1 - 0.9**step)) < 0.1
    alone = norms.batch_norm(torch.tensor([[7.0]]).double(), one, one, mean, var, False)
    mates = norms.batch_norm(torch.tensor([[7.0], [900.0]]).double(), one, one, mean, var, False)
    assert torch.equal(alone[0], mates[0])


def test_one_value_for_each_channel_is_an_error_that_says_what_to_do() -> None:
    one = torch.ones(3)
    with pytest.raises(ValueError, match=r"more than one value for each channel, got shape \(1, 3\).*drop_last"):
        norms.batch_norm(torch.ones(1, 3), one, one, torch.zeros(3), one, True)
    norms.batch_norm(torch.ones(1, 3), one, one, torch.zeros(3), one, False)
    norms.batch_norm(torch.ones(1, 3, 2), one, one, torch.zeros(3), one, True)
    with pytest.raises(ValueError, match="more than one position"):
        norms.instance_norm(torch.ones(2, 3, 1, 1), one, one)
    with pytest.raises(ValueError, match="3 channels cannot be shared out to 2 groups"):
        norms.group_norm(torch.ones(2, 3, 4), 2, one, one)


def test_group_norm_does_not_know_its_batch_and_rms_norm_does_not_centre() -> None:
    x = noise(4, 6, 5)
    one, zero = torch.ones(6).double(), torch.zeros(6).double()
    torch.testing.assert_close(norms.group_norm(x, 2, one, zero)[:1], norms.group_norm(x[:1], 2, one, zero))
    wide = noise(2, 50) + 10
    assert norms.rms_norm(wide, torch.ones(50).double()).mean() > 0.9
    assert norms.layer_norm(wide, torch.ones(50).double(), torch.zeros(50).double()).mean().abs() < 1e-12

"""Muon against torch's, against its recurrence in float64, and against the singular value decomposition."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lamplighter.models.cnn import CNN
from lamplighter.models.mlp import MLP
from lamplighter.optim.groups import apply_rates, parameter_groups
from lamplighter.optim.optimizers.adam import adamw
from lamplighter.optim.optimizers.muon import Muon, muon, orthogonalised


def newton_schulz(matrix: np.ndarray, steps: int) -> np.ndarray:
    """The iteration on singular values, from their decomposition: an odd polynomial acts on them one by one."""
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    s = s / np.linalg.norm(matrix)
    for _ in range(steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return (u * s) @ v


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("adjust_lr", ["match-rms-adamw", "original"])
def test_muon_is_its_recurrence(
    start: Callable[[], Tensor],
    gradient: Callable[[Tensor, int], Tensor],
    run: Callable[..., Tensor],
    adjust_lr: str,
    nesterov: bool,
) -> None:
    w, m = start().numpy(), np.zeros((4, 3))
    scale = 0.2 * math.sqrt(4) if adjust_lr == "match-rms-adamw" else math.sqrt(4 / 3)
    for step in range(200):
        g = gradient(torch.from_numpy(w), step).numpy()
        m = 0.9 * m + 0.1 * g
        update = newton_schulz(0.1 * g + 0.9 * m if nesterov else m, 4)
        w = w - 0.02 * 0.3 * w - 0.02 * scale * update
    ours = run(
        lambda groups: muon(
            groups, lr=0.02, weight_decay=0.3, momentum=0.9, nesterov=nesterov, ns_steps=4, adjust_lr=adjust_lr
        )
    )
    np.testing.assert_allclose(ours.numpy(), w, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("shape", [(6, 6), (16, 5), (5, 16)])
@pytest.mark.parametrize("adjust_lr", ["match-rms-adamw", "original"])
def test_muon_equals_torchs_bit_for_bit_in_its_number_type(shape: tuple[int, int], adjust_lr: str) -> None:
    ours, theirs = (nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(1))) for _ in range(2))
    optimizers = [
        Muon([{"params": [ours]}], lr=0.01, adjust_lr=adjust_lr, dtype=torch.bfloat16),  # type: ignore[arg-type]
        torch.optim.Muon([theirs], lr=0.01, adjust_lr_fn=adjust_lr.replace("-", "_")),
    ]
    for step in range(30):
        for w, optimizer in zip((ours, theirs), optimizers):
            w.grad = torch.randn(shape, generator=torch.Generator().manual_seed(step)) + w.detach()
            optimizer.step()
    assert torch.equal(ours, theirs)


def test_kernels_are_matrices_with_a_row_for_each_output_channel() -> None:
    torch.manual_seed(0)
    kernel = torch.randn(8, 4, 3, 3)
    gradient = torch.randn(8, 4, 3, 3)
    matrix = nn.Parameter(kernel.flatten(1).clone())
    matrix.grad = gradient.flatten(1).clone()
    Muon([{"params": [matrix]}]).step()
    for layout in (torch.contiguous_format, torch.channels_last):
        p = nn.Parameter(kernel.clone(memory_format=layout))
        p.grad = gradient.clone(memory_format=layout)
        Muon([{"params": [p]}], hidden={id(p)}).step()
        torch.testing.assert_close(p.detach().flatten(1), matrix.detach(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("shape", [(64, 64), (64, 300), (300, 64)])
def test_all_directions_get_about_the_same_length(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    step = orthogonalised(matrix)
    lengths = torch.linalg.svdvals(step)
    assert lengths[lengths > lengths.max() / 10].min() > 0.6 and lengths.max() < 1.25
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    assert nn.functional.cosine_similarity(step.flatten(), (u @ v).flatten(), dim=0) > 0.97


def test_steps_are_as_large_as_adamws() -> None:
    """match-rms-adamw: root mean square 0.2 for any shape, which is about what AdamW's steps have."""
    for shape in ((64, 64), (32, 400), (400, 32)):
        w = nn.Parameter(torch.zeros(shape))
        w.grad = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        Muon([{"params": [w]}], lr=1.0).step()
        assert w.detach().square().mean().sqrt().item() == pytest.approx(0.2, rel=0.25)


def names(module: nn.Module) -> set[str]:
    by_id = {id(parameter): name for name, parameter in module.named_parameters()}
    optimizer = muon(parameter_groups(module, module.named_parameters()), module)
    return {by_id[id(p)] for group in optimizer.param_groups if group["muon"] for p in group["params"]}


def test_hidden_weights_are_muons_and_everything_else_is_adamws() -> None:
    assert names(MLP(4, 3, hidden=(8, 8), norm="layer")) == {"body.0.weight", "body.3.weight"}
    kernels = {name for name, p in CNN(1, 2).named_parameters() if p.dim() == 4}
    assert names(CNN(1, 2)) == kernels
    text = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 4), nn.Linear(4, 10))
    assert names(text) == {"1.weight"}


def test_the_rest_steps_by_adamw() -> None:
    def train(make: Callable[[nn.Module], torch.optim.Optimizer]) -> nn.Module:
        torch.manual_seed(0)
        net = MLP(4, 3, hidden=(8,)).double()
        optimizer = make(net)
        for step in range(50):
            for index, p in enumerate(net.parameters()):
                generator = torch.Generator().manual_seed(100 * step + index)
                p.grad = torch.randn(p.shape, dtype=torch.float64, generator=generator) + p.detach()
            optimizer.step()
        return net

    def groups(net: nn.Module) -> list[dict[str, object]]:
        return parameter_groups(net, net.named_parameters())

    ours = train(lambda net: muon(groups(net), net, lr=0.01, weight_decay=0.2, adamw_factor=0.5))
    theirs = train(lambda net: adamw(groups(net), lr=0.005, weight_decay=0.2))
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters()):
        if name == "body.0.weight":
            assert (a - b).abs().max() > 1e-2
        else:
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_rates_of_groups_reach_both_kinds() -> None:
    net = MLP(4, 3, hidden=(8, 8))
    optimizer = muon(parameter_groups(net, net.named_parameters(), layer_decay=0.5), net, lr=0.1, adamw_factor=0.1)
    apply_rates(optimizer)
    by_id = {id(parameter): name for name, parameter in net.named_parameters()}
    rates = {by_id[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates == pytest.approx(
        {
            "body.0.weight": 0.025,
            "body.0.bias": 0.0025,
            "body.2.weight": 0.05,
            "body.2.bias": 0.005,
            "head.weight": 0.01,
            "head.bias": 0.01,
        }
    )


def test_a_state_saved_before_the_first_step_can_be_loaded_later() -> None:
    net = MLP(4, 3, hidden=(8,))
    fresh = muon(parameter_groups(net, net.named_parameters()), net).state_dict()
    optimizer = muon(parameter_groups(net, net.named_parameters()), net)
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    optimizer.load_state_dict(fresh)
    optimizer.step()
    assert len(optimizer.state) == len(list(net.parameters()))

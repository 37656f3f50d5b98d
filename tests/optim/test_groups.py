"""Weight decay reaches matrices and kernels only."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lamplighter.core.errors import TrainingError
from lamplighter.models.cnn import CNN
from lamplighter.models.mlp import MLP
from lamplighter.optim.groups import parameter_groups
from lamplighter.optim.optimizers import adamw


def names(module: nn.Module) -> tuple[set[str], set[str]]:
    """Names of the parameters that decay, and of those that do not."""
    by_id = {id(parameter): name for name, parameter in module.named_parameters()}
    decayed, plain = set(), set()
    for group in parameter_groups(module, module.named_parameters()):
        (plain if group.get("weight_decay") == 0 else decayed).update(by_id[id(p)] for p in group["params"])
    return decayed, plain


def test_biases_and_norms_are_left_out() -> None:
    decayed, plain = names(MLP(3, 2, hidden=(4,), norm="layer"))
    assert decayed == {"body.0.weight", "head.weight"}
    assert plain == {"body.0.bias", "body.1.weight", "body.1.bias", "head.bias"}


def test_a_cnn_decays_its_kernels_and_its_head() -> None:
    decayed, plain = names(CNN(1, 2))
    assert all(name.endswith("conv.weight") or name == "head.weight" for name in decayed)
    assert all(".norm." in name or name == "head.bias" for name in plain)
    assert len(decayed) + len(plain) == len(list(CNN(1, 2).parameters()))


def test_a_norm_over_several_dimensions_is_still_a_norm() -> None:
    assert names(nn.Sequential(nn.LayerNorm((3, 4)), nn.Linear(4, 2)))[0] == {"1.weight"}


def test_frozen_parameters_are_left_out() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[0].requires_grad_(False)
    assert names(module) == ({"1.weight"}, {"1.bias"})


def test_nothing_to_train_is_an_error() -> None:
    module = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(TrainingError, match="nothing to train"):
        parameter_groups(module, module.named_parameters())


def test_a_step_with_zero_gradients_shrinks_exactly_the_matrices() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    optimizer = adamw(parameter_groups(module, module.named_parameters()), lr=0.1, weight_decay=0.5)
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in module.named_parameters():
        expected = before[name] * (1 - 0.1 * 0.5) if name == "0.weight" else before[name]
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-6, atol=0)

"""Weight decay reaches matrices and kernels only; parts of a network learn at rates of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from lamplighter.core.errors import TrainingError
from lamplighter.core.recipe import Rate
from lamplighter.models.cnn import CNN
from lamplighter.models.mlp import MLP
from lamplighter.optim.groups import apply_rates, parameter_groups
from lamplighter.optim.optimizers.adam import adamw


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


def test_embeddings_do_not_decay() -> None:
    module = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2))
    assert names(module) == ({"1.weight"}, {"0.weight", "1.bias"})


def test_a_module_may_leave_out_parameters_of_its_own() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(1, 7, 4))
            self.mix = nn.Linear(4, 4)

        def no_weight_decay(self) -> set[str]:
            return {"table", "mix.weight"}

    assert names(nn.Sequential(Positions(), nn.Linear(4, 2))) == (
        {"1.weight"},
        {"0.table", "0.mix.weight", "0.mix.bias", "1.bias"},
    )


def rates_of(module: nn.Module, **settings: Any) -> dict[str, float]:
    """Learning rate of each parameter under an optimizer of rate 1."""
    by_id = {id(parameter): name for name, parameter in module.named_parameters()}
    optimizer = adamw(parameter_groups(module, module.named_parameters(), **settings), lr=1.0)
    apply_rates(optimizer)
    return {by_id[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}


def test_without_settings_there_are_two_groups_of_one_rate() -> None:
    module = CNN(1, 2)
    groups = parameter_groups(module, module.named_parameters())
    assert [group["lr_factor"] for group in groups] == [1.0, 1.0]
    assert set(rates_of(module).values()) == {1.0}


def test_layer_decay_of_a_cnn() -> None:
    rates = rates_of(CNN(1, 2), layer_decay=0.5)
    assert rates["stem.conv.weight"] == rates["stem.norm.bias"] == 0.125
    assert {rate for name, rate in rates.items() if name.startswith("stages.0.")} == {0.25}
    assert {rate for name, rate in rates.items() if name.startswith("stages.1.")} == {0.5}
    assert rates["head.weight"] == rates["head.bias"] == 1.0


def test_layer_decay_of_a_vision_transformer_is_that_of_the_masked_autoencoder() -> None:
    """He et al. 2022 fine-tune with d^(L + 1 - i): embeddings are layer 0, blocks 1 to L, the head L + 1."""
    layers = 4
    net = torchvision.models.VisionTransformer(32, 8, num_layers=layers, num_heads=2, hidden_dim=8, mlp_dim=16)
    rates = rates_of(net, layer_decay=0.75)
    for name in ("class_token", "encoder.pos_embedding", "conv_proj.weight", "conv_proj.bias"):
        assert rates[name] == 0.75 ** (layers + 1)
    for i in range(layers):
        of_block = {rate for name, rate in rates.items() if f"encoder_layer_{i}." in name}
        assert of_block == {0.75 ** (layers - i)}
    assert rates["heads.head.weight"] == rates["heads.head.bias"] == 1.0


def test_rates_of_their_own() -> None:
    wrapped = nn.ModuleDict({"model": CNN(1, 2)})
    rates = rates_of(
        wrapped,
        rates=[
            Rate(match="stem", factor=0.1),
            Rate(match="model.stages", factor=0.5),
            Rate(match="stages.1.refine", factor=3.0),
            Rate(match="head.bias", factor=0.0),
        ],
    )
    assert rates["model.stem.conv.weight"] == rates["model.stem.norm.weight"] == 0.1
    assert rates["model.stages.0.refine.conv.weight"] == rates["model.stages.1.down.conv.weight"] == 0.5
    assert rates["model.stages.1.refine.conv.weight"] == rates["model.stages.1.refine.norm.bias"] == 3.0
    assert rates["model.head.weight"] == 1.0
    assert rates["model.head.bias"] == 0.0


def test_rates_multiply_layer_decay() -> None:
    rates = rates_of(CNN(1, 2), layer_decay=0.5, rates=[Rate(match="stages.0", factor=10)])
    assert {rate for name, rate in rates.items() if name.startswith("stages.0.")} == {2.5}
    assert rates["stem.conv.weight"] == 0.125


def test_a_part_of_a_name_is_no_match() -> None:
    module = nn.ModuleDict({"layer1": nn.Linear(2, 2), "layer10": nn.Linear(2, 2)})
    rates = rates_of(module, rates=[Rate(match="layer1", factor=0.1)])
    assert rates["layer10.weight"] == 1.0


@pytest.mark.parametrize("match", ["stm", "ste", "head.wight", "model.stem", "x"])
def test_a_match_of_nothing_names_what_there_is(match: str) -> None:
    with pytest.raises(TrainingError, match=r"train\.rates\.1\.match: .*the network has stem, stages, head") as caught:
        rates_of(CNN(1, 2), rates=[Rate(match="head", factor=1), Rate(match=match, factor=0.1)])
    assert ("did you mean 'stem'?" in str(caught.value)) == (match in ("stm", "ste"))


def test_a_match_named_twice_is_an_error() -> None:
    with pytest.raises(TrainingError, match="'stem' has a rate already"):
        rates_of(CNN(1, 2), rates=[Rate(match="stem", factor=1), Rate(match="stem", factor=0.1)])


def test_a_match_in_another_optimizers_network_is_no_error() -> None:
    pair = nn.ModuleDict({"generator": nn.Linear(2, 2), "discriminator": nn.Linear(2, 1)})
    named = [(f"generator.{name}", p) for name, p in pair["generator"].named_parameters()]
    groups = parameter_groups(pair, named, rates=[Rate(match="discriminator", factor=0.1)])
    assert [group["lr_factor"] for group in groups] == [1.0, 1.0]


def test_rates_are_applied_once() -> None:
    module = CNN(1, 2)
    optimizer = adamw(parameter_groups(module, module.named_parameters(), layer_decay=0.5), lr=1.0)
    apply_rates(optimizer)
    once = [group["lr"] for group in optimizer.param_groups]
    apply_rates(optimizer)
    assert [group["lr"] for group in optimizer.param_groups] == once


def test_a_step_moves_each_block_by_its_rate() -> None:
    """With plain gradient descent and equal gradients, the ratio of the steps is the ratio of the rates, exactly."""
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)).double()
    optimizer = torch.optim.SGD(parameter_groups(module, module.named_parameters(), layer_decay=0.5), lr=0.5)
    apply_rates(optimizer)
    for p in module.parameters():
        torch.nn.init.zeros_(p)
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert [p.flatten()[0].item() for p in module.parameters()] == [-0.125, -0.125, -0.25, -0.25, -0.5, -0.5]

"""Frozen blocks stay bit-equal, parameters and running statistics alike, whatever trains around them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamplighter import models
from lamplighter.core.errors import TrainingError
from lamplighter.tasks.base import Task
from lamplighter.train import freezing
from lamplighter.train.freezing import Block, Frozen, blocks, first, freeze, is_frozen, matching


def cnn(**options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return models.create("cnn", in_channels=3, num_classes=4, width=4, **options)


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 5) -> None:
    """Steps on shifted inputs, as a careless loop takes them: ``train()`` on everything, each time."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        model.train()
        x = 3 + 2 * torch.randn(8, 3, 12, 12, generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), torch.arange(8) % 4).backward()
        optimizer.step()


OPTIMIZERS = {
    "sgd with weight decay": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "fused adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.5, fused=True),
    "foreach adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.5, foreach=True),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("up_to", [0, 1, 2, 3])
def test_frozen_parameters_and_buffers_are_bit_equal_after_training(optimizer: str, up_to: int) -> None:
    model = cnn()
    made = OPTIMIZERS[optimizer](model.parameters())  # before: the optimizer has all parameters
    train(model, made, 2)  # and remembers a momentum of each
    before = state(model)
    frozen = {id(t) for block in first(model, up_to) for t in (*block.parameters(), *block.buffers())}
    freeze(model, up_to)
    train(model, made)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        assert torch.equal(tensor, before[name]) == (id(tensor) in frozen), name


def test_gradients_that_wait_for_a_step_are_dropped() -> None:
    model = cnn()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    nn.functional.cross_entropy(model(torch.rand(4, 3, 8, 8)), torch.arange(4)).backward()
    freeze(model, "stem")
    before = state(model)
    optimizer.step()
    assert torch.equal(model.stem.conv.weight, before["stem.conv.weight"])
    assert not torch.equal(model.head.weight, before["head.weight"])


def test_without_gradients_alone_running_statistics_drift() -> None:
    """The mistake this is about: five steps on a random ResNet-18 whose parameters need no gradient."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        careless: Any = models.create("resnet18", in_channels=3, num_classes=4)
    careful = copy.deepcopy(careless)
    x = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = careless.eval().forward_features(x)
    for name, parameter in careless.named_parameters():
        parameter.requires_grad_(name.startswith("fc."))
    freeze(careful, "head")
    for model in (careless, careful):
        train(model, torch.optim.Adam(model.parameters(), lr=1e-3))
        model.eval()
    assert (careless.bn1.running_mean - 0).abs().max() > 0.3
    drift = (careless.forward_features(x) - before).norm() / before.norm()
    assert drift > 0.5
    assert torch.equal(careful.forward_features(x), before)


def test_frozen_blocks_stay_in_eval_mode_whatever_is_called() -> None:
    model = cnn(dropout=0.5)
    freeze(model, "head")
    for call in (model.train, model.stem.train, model.stem.norm.train, lambda: model.stages[0].train(True)):
        call()
        assert not model.stem.norm.training and not model.stages[0].refine.norm.training
    assert model.training and model.head.training and model.dropout.training


def test_a_frozen_block_is_a_fixed_function_though_it_has_dropout() -> None:
    model: Any = models.create("mlp", in_features=6, num_classes=2, hidden=(8, 8, 8), dropout=0.5)
    freeze(model, 2)
    model.train()
    x = torch.rand(4, 6)
    dropouts = [m.training for m in model.body if isinstance(m, nn.Dropout)]
    assert dropouts == [False, True, True]  # the one behind the last frozen layer regularises what learns
    assert torch.equal(model.body[:5](x), model.body[:5](x))


def test_release_lets_everything_learn_that_was_frozen_here() -> None:
    model = cnn()
    model.stem.conv.weight.requires_grad_(False)  # somebody else's decision
    frozen = freeze(model, "head")
    assert all(is_frozen(m) for m in model.stages.modules() if m is not model.stages)
    frozen.release()
    model.train()
    assert not model.stem.conv.weight.requires_grad
    assert all(p.requires_grad for name, p in model.named_parameters() if name != "stem.conv.weight")
    assert all(m.training for m in model.modules())
    assert not any("train" in m.__dict__ for m in model.modules())
    frozen.release()


def test_what_another_froze_stays_frozen() -> None:
    model = cnn()
    freeze(model, "stem")
    freeze(model, "head").release()
    model.train()
    assert is_frozen(model.stem.norm) and not model.stem.conv.weight.requires_grad
    assert not is_frozen(model.stages[0].down.norm) and model.stages[0].down.conv.weight.requires_grad


def test_a_copy_is_frozen_by_itself() -> None:
    model = cnn()
    frozen = freeze(model, "head")
    twin = copy.deepcopy(model)
    twin.train()
    assert not twin.stem.norm.training
    frozen.release()
    assert is_frozen(twin.stem.norm) and not is_frozen(model.stem.norm)


def test_blocks_are_counted_from_the_input_to_below_the_head() -> None:
    model = cnn(stages=3)
    assert [block.name for block in blocks(model)] == ["stem", "stages.0", "stages.1", "stages.2"]
    counted = {id(p) for block in blocks(model) for p in block.parameters()}
    assert counted == {id(p) for name, p in model.named_parameters() if not name.startswith("head.")}
    assert len({id(b) for block in blocks(model) for b in block.buffers()}) == len(list(model.buffers()))


def test_a_norm_belongs_to_the_layer_before_it() -> None:
    resnet = models.create("resnet18", in_channels=3, num_classes=4, stem="small")
    stem, *rest = blocks(resnet)
    assert stem.name == "conv1" and next(iter(stem.buffers())) is resnet.bn1.running_mean
    assert [block.name for block in rest] == [f"layer{i}.{j}" for i in range(1, 5) for j in range(2)]


class WithToken(nn.Module):
    """A parameter of its own, a norm without parameters, an encoder around a list of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(3))
        self.embed = nn.Linear(2, 3)
        self.whiten = nn.BatchNorm1d(3, affine=False)
        self.layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))
        self.out = nn.Linear(3, 2)


def test_tokens_and_norms_without_parameters_belong_to_the_first_block() -> None:
    model = WithToken()
    one, two, three = blocks(model)
    assert (one.name, two.name, three.name) == ("embed", "layers.0", "layers.1")
    assert one.own == (model.token,)
    freeze(model, 1)
    model.train()
    assert not model.token.requires_grad and not model.whiten.training and model.layers[0].training


def test_names_mean_up_to_the_last_block_in_them() -> None:
    resnet = models.create("resnet18", in_channels=3, num_classes=4)
    assert [b.name for b in first(resnet, "layer2")] == ["conv1", "layer1.0", "layer1.1", "layer2.0", "layer2.1"]
    assert [b.name for b in first(resnet, "layer2.0")] == ["conv1", "layer1.0", "layer1.1", "layer2.0"]
    many = nn.Sequential(*(nn.Linear(2, 2) for _ in range(13)))
    assert [b.name for b in first(many, "1")] == ["0", "1"]  # not 10 and 11
    assert len(first(resnet, "head")) == 9 == len(first(resnet, 9))
    assert first(resnet, 0) == []


def test_a_block_that_does_not_exist_is_answered_with_the_list() -> None:
    with pytest.raises(TrainingError, match=r"has 3 blocks: 1 stem, 2 stages\.0, 3 stages\.1"):
        freeze(cnn(), 4)
    with pytest.raises(TrainingError, match=r"'stemm' \(did you mean 'stem'\?\)"):
        freeze(cnn(), "stemm")
    with pytest.raises(TrainingError, match="has 0 blocks: none"):
        freeze(nn.Linear(2, 2), 1)


def test_parts_by_name() -> None:
    class Around(Task):
        def __init__(self) -> None:
            super().__init__()
            self.model = cnn()

    task = Around()
    for start in ("stages.0", "model.stages.0"):
        found = matching(task, start)
        assert {id(p) for p in found.parameters()} == {id(p) for p in task.model.stages[0].parameters()}
    assert matching(task, "head.bias").own == (task.model.head.bias,)
    with pytest.raises(TrainingError, match=r"called 'stage'"):
        matching(task, "stage")
    assert [b.name for b in blocks(task)] == ["stem", "stages.0", "stages.1"]


def test_a_network_with_a_part_called_model_is_not_taken_for_a_task() -> None:
    outer = nn.ModuleDict({"model": cnn(), "head": nn.Linear(4, 2)})
    assert [b.name for b in blocks(outer)] == ["model.stem", "model.stages.0", "model.stages.1", "model.head"]


def test_blocks_can_be_put_together_by_hand() -> None:
    model = cnn()
    Frozen([Block("mine", (model.stages[1],), (model.head.bias,))])
    assert not model.head.bias.requires_grad and model.head.weight.requires_grad
    assert is_frozen(model.stages[1]) and not is_frozen(model.stages[0])
    assert freezing.HEAD == "head"

"""The order of blocks in networks of many builds: ours, torchvision's, wrapped, tied, nested."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn

from lamplighter.models.cnn import CNN
from lamplighter.models.mlp import MLP
from lamplighter.optim.blocks import blocks, head, hidden_weights, outer_names


def order(module: nn.Module) -> list[list[str]]:
    """Names of the parameters of each block."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return [[names[id(p)] for p in block] for block in blocks(module, module.parameters())]


def owners(module: nn.Module, depth: int) -> list[list[str]]:
    """First parts of the names in each block."""
    return [list(dict.fromkeys(".".join(n.split(".")[:depth]) for n in names)) for names in order(module)]


def test_an_mlp() -> None:
    assert order(MLP(3, 2, hidden=(4, 4), norm="layer")) == [
        ["body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias"],
        ["body.3.weight", "body.3.bias", "body.4.weight", "body.4.bias"],
        ["head.weight", "head.bias"],
    ]


def test_a_cnn() -> None:
    assert owners(CNN(1, 2, stages=3), 2) == [
        ["stem.conv", "stem.norm"],
        ["stages.0"],
        ["stages.1"],
        ["stages.2"],
        ["head.weight", "head.bias"],
    ]


def test_torchvisions_resnet() -> None:
    found = owners(torchvision.models.resnet18(num_classes=3), 2)
    stem, *layers, last = found
    assert stem == ["conv1.weight", "bn1.weight", "bn1.bias"]
    assert layers == [[f"layer{i}.{j}"] for i in range(1, 5) for j in range(2)]
    assert last == ["fc.weight", "fc.bias"]


def test_torchvisions_vision_transformer() -> None:
    net = torchvision.models.VisionTransformer(32, 8, num_layers=3, num_heads=2, hidden_dim=8, mlp_dim=16)
    assert owners(net, 3) == [
        ["class_token", "conv_proj.weight", "conv_proj.bias", "encoder.pos_embedding"],
        ["encoder.layers.encoder_layer_0"],
        ["encoder.layers.encoder_layer_1"],
        ["encoder.layers.encoder_layer_2", "encoder.ln.weight", "encoder.ln.bias"],
        ["heads.head.weight", "heads.head.bias"],
    ]


def test_a_single_layer_inside_a_container_is_not_taken_apart() -> None:
    block = nn.TransformerEncoderLayer(8, 2, 16)
    encoder = nn.TransformerEncoder(block, num_layers=1, enable_nested_tensor=False)
    net = nn.Sequential(nn.Linear(4, 8), encoder, nn.Linear(8, 2))
    assert owners(net, 1) == [["0"], ["1"], ["2"]]


def test_a_single_residual_block_with_a_shortcut_is_not_taken_apart() -> None:
    """Its shortcut is a container too, but of one layer and its norm."""
    block = torchvision.models.resnet.BasicBlock
    found = owners(torchvision.models.ResNet(block, [1, 1, 1, 1], num_classes=3), 2)
    assert found[1:5] == [[f"layer{i}.0"] for i in range(1, 5)]


def test_a_network_inside_a_sequential_is_opened() -> None:
    net = nn.Sequential(CNN(1, 8), nn.Linear(8, 2))
    assert owners(net, 3) == [
        ["0.stem.conv", "0.stem.norm"],
        ["0.stages.0"],
        ["0.stages.1"],
        ["0.head.weight", "0.head.bias"],
        ["1.weight", "1.bias"],
    ]


def test_modules_around_the_network_are_looked_through() -> None:
    task = nn.ModuleDict({"norm": nn.Identity(), "model": nn.ModuleDict({"net": MLP(3, 2)})})
    assert len(order(task)) == len(order(MLP(3, 2)))
    assert outer_names(task, task.parameters()) == ["", "model.", "model.net."]


def test_one_of_two_networks() -> None:
    pair = nn.ModuleDict({"generator": MLP(3, 2, hidden=(4,)), "discriminator": CNN(1, 1)})
    found = blocks(pair, pair["generator"].parameters())
    assert len(found) == 2
    assert outer_names(pair, pair["generator"].parameters()) == ["", "generator."]
    assert outer_names(pair, pair.parameters()) == [""]


class Tied(nn.Module):
    """A language model whose head is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(10, 4)
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.out = nn.Linear(4, 10, bias=False)
        self.out.weight = self.token.weight

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.token(x)
        for layer in self.layers:
            h = layer(h)
        out: Tensor = self.out(h)
        return out


def test_a_tied_head_is_a_block_without_parameters_of_its_own() -> None:
    net = Tied()
    assert order(net) == [
        ["token.weight"],
        ["layers.0.weight", "layers.0.bias"],
        ["layers.1.weight", "layers.1.bias"],
        [],
    ]
    assert head(net, net.parameters()) == set()
    assert hidden_weights(net, net.parameters()) == {id(layer.weight) for layer in net.layers}  # type: ignore[union-attr]


def test_layers_without_wanted_parameters_are_not_there() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    assert len(blocks(net, net[1:].parameters())) == 2


@pytest.mark.parametrize(
    "net",
    [
        nn.Linear(3, 2),
        nn.Sequential(nn.Linear(3, 2)),
        nn.LayerNorm(3),
        nn.Sequential(nn.LayerNorm(3), nn.BatchNorm1d(3)),
        nn.LSTM(3, 4, 2),
        nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)),
        nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)),
        torchvision.models.resnet18(num_classes=2),
        torchvision.models.vgg11(num_classes=2),
        torchvision.models.convnext_tiny(num_classes=2),
        torchvision.models.densenet121(num_classes=2),
        torchvision.models.mobilenet_v3_small(num_classes=2),
        torchvision.models.swin_t(num_classes=2),
        nn.Transformer(8, 2, 2, 2, 16, batch_first=True),
    ],
    ids=lambda net: type(net).__name__,
)
def test_every_parameter_is_in_exactly_one_block(net: nn.Module) -> None:
    placed = [id(p) for block in blocks(net, net.parameters()) for p in block]
    assert len(placed) == len(set(placed))
    assert set(placed) == {id(p) for p in net.parameters()}


def test_nothing_hidden_in_a_network_of_one_layer() -> None:
    net = nn.Linear(3, 2)
    assert hidden_weights(net, net.parameters()) == set()
    assert hidden_weights(net, []) == set()


def test_hidden_weights_are_matrices_and_kernels() -> None:
    net = nn.Sequential(
        nn.Embedding(5, 4),
        nn.Conv1d(4, 4, 3),
        nn.GroupNorm(2, 4),
        nn.LayerNorm((4, 3)),
        nn.Linear(3, 3),
        nn.Linear(3, 2),
    )
    net.register_parameter("experts", nn.Parameter(torch.zeros(2, 3, 3)))
    names = {id(p): name for name, p in net.named_parameters()}
    assert {names[i] for i in hidden_weights(net, net.parameters())} == {"1.weight", "4.weight"}

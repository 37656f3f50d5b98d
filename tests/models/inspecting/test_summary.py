"""The summary's numbers against sums by hand and against torch; nothing of the network is changed."""

from __future__ import annotations

import json

import pytest
import torch
import torchvision
from torch import Tensor, nn

from lamplighter import models
from lamplighter.core.errors import LamplighterError
from lamplighter.models.inspecting.summary import counted, sized


class Net(nn.Module):
    """A shared layer, a matrix product that is no layer, and a layer that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 6)
        self.block = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.BatchNorm1d(5), nn.Dropout(0.5))
        self.head = nn.Linear(6, 10, bias=False)
        self.head.weight = self.embed.weight
        self.unused = nn.Linear(3, 3)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        h = self.block(self.block(self.embed(ids)))
        scores = h @ h.transpose(1, 2)
        return self.head(scores @ h)


IDS = torch.arange(10).view(2, 5)


def test_rows() -> None:
    found = models.summary(Net(), {"ids": IDS, "mask": torch.ones(2, 5)}, repeats=0)
    rows = {row.name: row for row in found.rows}
    assert [*rows] == ["", "embed", "block", "block.0", "block.1", "block.2", "block.3", "head", "unused"]
    linear, product, head = 2 * 5 * 36, 2 * 5 * 5 * 6, 2 * 5 * 60
    assert rows["block.0"].macs == 2 * linear and rows["block.0"].calls == 2
    assert rows["block"].macs == 2 * linear and rows["head"].macs == head
    assert found.macs == rows[""].macs == 2 * linear + 2 * product + head
    assert rows["embed"].params == 60 and rows["head"].params == 0  # one tensor, counted once
    assert found.params == sum(p.numel() for p in Net().parameters()) == 60 + 42 + 10 + 12
    assert rows["block"].params == 42 + 10
    assert rows["embed"].input_shape == (2, 5) and rows["embed"].output_shape == (2, 5, 6)
    assert rows["unused"].output_shape is None and rows["unused"].calls == 0
    assert found.milliseconds is None


def test_activations_are_what_the_backward_pass_needs() -> None:
    """Linear keeps its input, ReLU its output, which is the next layer's input: counted once."""
    net = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 3))
    found = models.summary(net, torch.zeros(8, 10), repeats=0)
    assert [row.activation_bytes for row in found.rows] == [8 * 30 * 4, 8 * 10 * 4, 8 * 20 * 4, 0]
    for parameter in net[0].parameters():
        parameter.requires_grad_(False)
    assert models.summary(net, torch.zeros(8, 10), repeats=0).activation_bytes == 8 * 20 * 4
    assert models.summary(net, torch.zeros(16, 10), repeats=0).activation_bytes == 2 * 8 * 20 * 4


def test_frozen_parameters_and_buffers() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    net[0].weight.requires_grad_(False)
    found = models.summary(net, torch.zeros(2, 4), repeats=0)
    assert (found.params, found.trainable) == (28, 12)
    assert found.param_bytes == 28 * 4 + 8 * 4 + 8
    assert "16 of them frozen" in found.totals()


def test_the_network_is_as_before() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).train()
    net[1].eval()
    net(torch.ones(3, 4)).sum().backward()
    gradient = net[0].weight.grad.clone()  # type: ignore[union-attr]
    state = {key: value.clone() for key, value in net.state_dict().items()}
    random = torch.get_rng_state()
    with torch.no_grad():
        models.summary(net, torch.randn(3, 4, generator=torch.Generator().manual_seed(0)))
        assert not torch.is_grad_enabled()
    assert [module.training for module in net.modules()] == [True, True, False, True]
    assert torch.equal(net[0].weight.grad, gradient)
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_resnet18_against_published_numbers_and_ours_against_torchvisions() -> None:
    found = models.summary(torchvision.models.resnet18(), torch.zeros(1, 3, 224, 224), repeats=1)
    assert found.params == 11_689_512
    assert round(found.macs / 1e9, 3) == 1.814
    assert found.milliseconds is not None and found.milliseconds > 0
    ours = models.summary(models.create("resnet18", in_channels=3, num_classes=1000), torch.zeros(1, 3, 224, 224), 0)
    assert (ours.params, ours.macs) == (found.params, found.macs)


def test_table_text_and_json() -> None:
    found = models.summary(Net(), IDS, repeats=1)
    text = str(found)
    assert "not called" in text and "(2 calls)" in text and "1 MAC = 1 multiplication and 1 addition" in text
    assert "block.0" not in text and "  0 " in text  # nested by indentation
    shallow = found.to_dict(depth=1)
    assert [row["name"] for row in shallow["layers"]] == ["", "embed", "block", "head", "unused"]
    assert json.loads(json.dumps(shallow))["macs"] == found.macs
    assert len(found.table(depth=1).rows) == 4


def test_an_input_that_does_not_fit_names_the_layer() -> None:
    model = models.create("mlp", in_features=3, num_classes=2, hidden=(4,))
    with pytest.raises(LamplighterError, match=r"layer 'body\.0' \(Linear\(in_features=3, .*\) got \(1, 64\)"):
        models.summary(model, torch.zeros(1, 1, 8, 8))


def test_units() -> None:
    assert [counted(n) for n in (0, 999, 1000, 61_234, 1_814_073_344, 2e15)] == [
        "0", "999", "1.00 k", "61.2 k", "1.81 G", "2.00 P",
    ]  # fmt: skip
    assert [sized(n) for n in (0, 1023, 1024, 5 * 1024**4)] == ["0 B", "1023 B", "1.0 KiB", "5.0 TiB"]

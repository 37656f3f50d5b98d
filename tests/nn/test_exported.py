"""ExportedNetwork: norm, model and scale as one, with the embedding where there is one."""

from __future__ import annotations

import torch
from torch import nn

from lamplighter.models.mlp import MLP
from lamplighter.nn.exported import ExportedNetwork
from lamplighter.nn.input_norm import InputNorm
from lamplighter.nn.output_scale import OutputScale

X = torch.randint(0, 256, (5, 3), generator=torch.Generator().manual_seed(0))


def test_outputs_are_the_scaled_answer_and_the_heads_input() -> None:
    norm, model, scale = InputNorm([100.0] * 3, [50.0] * 3), MLP(3, 2, hidden=(4,)), OutputScale([1.0, 2.0], [3.0, 4.0])
    value, embedding = ExportedNetwork(norm, model, scale)(X)
    assert torch.equal(value, scale(model(norm(X))))
    assert torch.equal(embedding, model.forward_features(norm(X)))
    assert embedding.shape == (5, 4)


def test_a_model_without_features_has_one_output() -> None:
    network = ExportedNetwork(nn.Identity(), nn.Linear(3, 2), nn.Identity())
    assert not network.embeds
    assert len(network(X.float())) == 1


def test_a_model_whose_head_is_no_module_has_one_output() -> None:
    model = MLP(3, 2)
    wrapper = nn.Linear(3, 2)
    wrapper.forward_features = model.forward_features  # type: ignore[assignment]
    assert not ExportedNetwork(nn.Identity(), wrapper, nn.Identity()).embeds

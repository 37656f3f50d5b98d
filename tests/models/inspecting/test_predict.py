"""Predicting leaves no trace: no graph, and each submodule in the mode it had."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lamplighter import models
from lamplighter.core.errors import LamplighterError


def net() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2)).train()
    model[1].eval()  # frozen, as in fine-tuning
    return model


def test_no_graph_eval_mode_inside_and_every_mode_as_before() -> None:
    model = net()
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    first = models.predict(model, x)
    assert not first.requires_grad and first.grad_fn is None and not first.is_inference()
    assert [module.training for module in model.modules()] == [True, True, False, True, True]
    assert torch.equal(first, models.predict(model, x))  # dropout is off
    assert torch.equal(first, model.eval()(x))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_modes_come_back_after_an_error_which_names_the_layer() -> None:
    model = net()
    with pytest.raises(LamplighterError, match=r"layer '0' \(Linear.*\) got \(4, 5\)"):
        models.predict(model, torch.zeros(4, 5))
    assert [module.training for module in model.modules()] == [True, True, False, True, True]
    assert torch.is_grad_enabled()


def test_inputs_by_name() -> None:
    assert models.predict(nn.Bilinear(2, 3, 1), input1=torch.zeros(5, 2), input2=torch.zeros(5, 3)).shape == (5, 1)

"""What tasks share."""

from __future__ import annotations

import math

import torch
from torch import nn

from lamplighter.tasks.base import Task, for_export, full_precision, target_present


def test_target_present() -> None:
    nan = math.nan
    assert target_present(torch.tensor([0, -1, 5])).tolist() == [True, False, True]
    assert target_present(torch.tensor([0.0, nan])).tolist() == [True, False]
    assert target_present(torch.tensor([[nan, nan], [nan, 1.0], [2.0, 3.0]])).tolist() == [False, True, True]


def test_full_precision_touches_only_16_bits() -> None:
    for dtype, expected in (
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        assert full_precision(torch.zeros(1, dtype=dtype)).dtype == expected


def test_all_parameters_belong_to_main_unless_said_otherwise() -> None:
    task = Task()
    task.layer = nn.Linear(2, 3)
    assert [name for name, _ in task.parameters_of("main")] == ["layer.weight", "layer.bias"]
    assert task.optimizers == ("main",)


def test_for_export_is_a_copy() -> None:
    layer = nn.Linear(2, 2).double()
    copy = for_export(layer)
    assert copy.weight.dtype == torch.float32
    assert layer.weight.dtype == torch.float64
    assert layer.weight.requires_grad and layer.training

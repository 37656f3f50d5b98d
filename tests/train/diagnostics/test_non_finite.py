"""The first thing that is not finite is named: data, weights, a layer forwards, a layer backwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamplighter.train.diagnostics.non_finite import first_non_finite

Make = Callable[..., Any]


class Root(nn.Module):
    """sqrt of what is clamped to 0: finite forwards, infinite slope backwards."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.detach()).abs().sqrt()


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def net(middle: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 8), middle or nn.ReLU(), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 10))


def test_a_sound_network_has_nothing_to_report(classify: Make, noise: Make) -> None:
    assert first_non_finite(classify(net()), noise(16)) is None


def test_the_data(classify: Make, noise: Make) -> None:
    batch = noise(16)
    batch["x"][3, 5] = float("nan")
    assert first_non_finite(classify(net()), batch) == "the batch: 'x' has NaN"


def test_blank_targets_are_no_fault(classify: Make, noise: Make) -> None:
    batch = {**noise(16), "y": torch.full((16,), float("nan"))}
    with pytest.raises((RuntimeError, ValueError)):
        first_non_finite(classify(net()), batch)


@pytest.mark.parametrize("value, what", [(float("nan"), "NaN"), (float("-inf"), "infinity")])
def test_weights_and_buffers(value: float, what: str, classify: Make, noise: Make) -> None:
    model = net()
    model[0].weight.data[0, 0] = value
    assert first_non_finite(classify(model), noise(16)) == f"the parameter 'model.0.weight' has {what}"
    model = net()
    model[2].running_var[0] = value
    assert first_non_finite(classify(model), noise(16)) == f"the buffer 'model.2.running_var' has {what}"


def test_a_layer_forwards(classify: Make, noise: Make) -> None:
    found = first_non_finite(classify(net(Times(1e39))), noise(16))
    assert found == "the output of 'model.1' (Times) has infinity in the forward pass, its input is finite"


def test_something_between_the_layers_forwards(classify: Make, noise: Make) -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(64, 8), nn.Linear(8, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x).log())

    found = first_non_finite(classify(Outer()), noise(16))
    assert found == "the output of 'model.b' (Linear) has NaN in the forward pass, so has its input"


def test_a_layer_backwards(classify: Make, noise: Make) -> None:
    """The gradient is finite where it goes into Root, backwards, and not where it comes out: Root is the culprit."""
    assert first_non_finite(classify(net(Root())), noise(16)) == (
        "the gradient at the output of 'model.0' (Linear) has NaN in the backward pass; it comes from 'model.1' (Root)"
    )


def test_something_between_the_layers_backwards(classify: Make, noise: Make) -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.a, self.root, self.b = nn.Linear(64, 8), nn.Sequential(Root()), nn.Linear(8, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.root(self.a(x) * 2) * 2)

    assert first_non_finite(classify(Outer()), noise(16)) == (
        "the gradient at the input of 'model.root' (Sequential) has NaN in the backward pass; it comes from "
        "'model.root.0' (Root)"
    )


def test_the_loss_itself(classify: Make, noise: Make) -> None:
    assert first_non_finite(classify(net(), sign=float("inf")), noise(16)) == (
        "the loss is infinity, every layer's output is finite"
    )


def test_sixteen_bits_overflow_where_32_do_not(classify: Make, noise: Make) -> None:
    task = classify(nn.Sequential(nn.Linear(64, 8), nn.Linear(8, 10)))
    with torch.no_grad():
        task.model[0].weight.fill_(1e3)
    batch = {"x": noise(16)["x"].abs() * 100, "y": noise(16)["y"]}
    assert first_non_finite(task, batch) is None
    found = first_non_finite(task, batch, torch.autocast("cpu", dtype=torch.float16))
    assert found == "the output of 'model.0' (Linear) has infinity in the forward pass, its input is finite"


def test_the_task_is_left_as_it_was(classify: Make, noise: Make, everything: Make) -> None:
    task = classify(net()).eval()
    task.model[0].weight.grad = torch.ones(8, 64)
    before, drawn = everything(task), torch.get_rng_state()
    first_non_finite(task, noise(16))
    assert everything(task) == before
    assert torch.equal(torch.get_rng_state(), drawn)

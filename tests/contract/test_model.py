"""What every model must hold, on every kind of input it accepts."""

from __future__ import annotations

import copy
import functools
import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamplighter.core import registry

CLASSES = 3
FACTS: dict[str, dict[str, Any]] = {
    "image": {"in_channels": 2, "image_size": (9, 12), "in_features": 2 * 9 * 12, "num_classes": CLASSES},
    "table": {"in_features": 7, "num_classes": CLASSES},
}
"""What the data tells a model. To test a model on another kind of input, add its facts here and its batch below."""


def batch(kind: str, rows: int, seed: int = 0) -> Tensor:
    """Inputs of one kind, deterministic: (N, 2, 9, 12) images or (N, 7) rows of a table."""
    shape = (2, 9, 12) if kind == "image" else (7,)
    return torch.randn(rows, *shape, generator=torch.Generator().manual_seed(seed))


def accepted(name: str) -> list[str]:
    """Kinds of input whose facts satisfy the model's `FromData` parameters."""
    component = registry.get("model", name)
    parameters = inspect.signature(component).parameters
    needed = {
        key for key in registry.parameters_from_data(component) if parameters[key].default is inspect.Parameter.empty
    }
    return [kind for kind, facts in FACTS.items() if needed <= set(facts)]


NAMES = [name for name in registry.names("model") if name != "own"]  # the caller's network: tests/test_own.py
CASES = [(name, kind) for name in NAMES for kind in accepted(name)]


EVERY_CASE = pytest.mark.parametrize(("name", "kind"), CASES, scope="module")
"""The scope brings all tests of one model together, so that `_built` makes each large network once."""


def build(name: str, kind: str) -> nn.Module:
    return copy.deepcopy(_built(name, kind))


@functools.lru_cache(maxsize=1)
def _built(name: str, kind: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: nn.Module = registry.build("model", name, {}, FACTS[kind])
    return model


@pytest.mark.parametrize("name", NAMES)
def test_model_accepts_some_kind_of_input(name: str) -> None:
    assert accepted(name), f"no facts in {__name__}.FACTS satisfy model '{name}'; add a kind of input there"


@EVERY_CASE
def test_output_is_one_row_of_scores_for_each_input_row(name: str, kind: str) -> None:
    model = build(name, kind).eval()
    for rows in (1, 5):
        output = model(batch(kind, rows))
        assert output.shape == (rows, CLASSES)
        assert output.dtype == torch.float32
        assert torch.isfinite(output).all()


@EVERY_CASE
def test_one_training_step_reaches_every_parameter(name: str, kind: str) -> None:
    model = build(name, kind).train()
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    y = torch.arange(8) % CLASSES
    nn.functional.cross_entropy(model(batch(kind, 8)), y).backward()
    assert [key for key, value in model.named_parameters() if value.grad is None] == []
    assert all(torch.isfinite(value.grad).all() for value in model.parameters() if value.grad is not None)
    optimizer.step()
    unchanged = [key for key, value in model.named_parameters() if torch.equal(value, before[key])]
    assert unchanged == []


@EVERY_CASE
def test_eval_mode_is_deterministic(name: str, kind: str) -> None:
    model = build(name, kind).eval()
    x = batch(kind, 4)
    assert torch.equal(model(x), model(x))


@EVERY_CASE
def test_a_row_does_not_depend_on_its_batch(name: str, kind: str) -> None:
    model = build(name, kind)
    model.train()(batch(kind, 16, seed=1))  # moves running statistics away from their start
    model.eval()
    x = batch(kind, 5)
    together = model(x)
    for i in range(5):
        torch.testing.assert_close(model(x[i : i + 1])[0], together[i], rtol=1e-5, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-4, "the output ignores the input"


@EVERY_CASE
def test_head_of_the_features_is_the_output(name: str, kind: str) -> None:
    model: Any = build(name, kind).eval()
    x = batch(kind, 3)
    features = model.forward_features(x)
    assert features.ndim == 2 and features.shape[0] == 3
    torch.testing.assert_close(model.head(features), model(x), rtol=0, atol=0)


@EVERY_CASE
def test_the_state_dict_is_the_whole_model(name: str, kind: str) -> None:
    model, twin = build(name, kind), registry.build("model", name, {}, FACTS[kind])
    model.train()(batch(kind, 16, seed=1))
    twin.load_state_dict(model.state_dict(), strict=True)
    x = batch(kind, 4)
    assert torch.equal(model.eval()(x), twin.eval()(x))

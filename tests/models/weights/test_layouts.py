"""Names of tensors: what wrappers put in front, and which layout a file follows."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lamplighter.models.weights.layouts import OWN, Layout, fitting, layouts_of, unwrapped

KNOWN = {"conv1.weight", "model.weight", "net.0.bias"}


@pytest.mark.parametrize(
    "name",
    [
        "conv1.weight",
        "module.conv1.weight",
        "model.conv1.weight",
        "backbone.conv1.weight",
        "_orig_mod.conv1.weight",
        "module._orig_mod.conv1.weight",
        "module.model.backbone._orig_mod.conv1.weight",
        "model.net.conv1.weight",
    ],
)
def test_wrappers_are_taken_away(name: str) -> None:
    assert unwrapped(name, KNOWN) == "conv1.weight"


def test_a_part_of_the_model_called_like_a_wrapper_stays() -> None:
    assert unwrapped("model.weight", KNOWN) == "model.weight"
    assert unwrapped("module.model.weight", KNOWN) == "model.weight"
    assert unwrapped("net.0.bias", KNOWN) == "net.0.bias"


def test_an_unknown_name_keeps_what_is_no_wrapper() -> None:
    assert unwrapped("module.encoder.weight", KNOWN) == "encoder.weight"
    assert unwrapped("weight", KNOWN) == "weight"
    assert unwrapped("model", KNOWN) == "model"


class Two(nn.Linear):
    """Reads another library's names, too."""

    layouts = (
        Layout(
            "elsewhere", lambda t: {k.replace("kernel", "weight").replace("offset", "bias"): v for k, v in t.items()}
        ),
    )


def test_the_layout_with_most_known_names_is_taken() -> None:
    model = Two(2, 3)
    w, b = torch.zeros(3, 2), torch.zeros(3)
    assert fitting({"weight": w, "bias": b}, model)[0] is OWN
    layout, named = fitting({"module.kernel": w, "module.offset": b, "extra": b}, model)
    assert layout.name == "elsewhere"
    assert set(named) == {"weight", "bias", "extra"}
    assert [each.name for each in layouts_of(model)] == ["the model's own names", "elsewhere"]
    assert layouts_of(nn.Linear(1, 1)) == (OWN,)

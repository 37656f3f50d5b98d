"""Which architecture a file of weights is of, as far as names and shapes of its tensors tell."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamplighter.core import registry
from lamplighter.core.errors import LamplighterError
from lamplighter.core.weights import WeightFiles
from lamplighter.models.weights.layouts import fitting
from lamplighter.models.weights.loading import first_convolution, head_of, names_in
from lamplighter.models.weights.reading import read

_TRIED = {"in_channels": 3, "num_classes": 10}


def describe(source: WeightFiles) -> dict[str, Any]:
    """``architecture`` (a registered model's name or None), ``tensors`` and ``parameters`` (numbers in them).

    Args:
        source: see `lamplighter.core.weights.find`.

    Raises:
        WeightsError: the file is damaged or holds other things than tensors.
    """
    tensors = read(source)
    return {
        "architecture": architecture(tensors),
        "tensors": len(tensors),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
    }


def architecture(tensors: Mapping[str, Tensor]) -> str | None:
    """The registered model, built with its defaults for images, whose tensors these are.

    The head may have any number of classes and the first convolution any number of channels. Models are built without
    memory, on torch's ``meta`` device.

    Args:
        tensors: by name, in any layout that the model lists.
    """
    for name in registry.names("model"):
        model = _without_memory(name, registry.get("model", name))
        if model is not None and _is(tensors, model):
            return name
    return None


@functools.cache
def _without_memory(name: str, component: Callable[..., Any]) -> nn.Module | None:
    """The model with its defaults for images, on the meta device; None where it is not for images."""
    parameters = inspect.signature(component).parameters
    needed = [
        key for key in registry.parameters_from_data(component) if parameters[key].default is inspect.Parameter.empty
    ]
    if not set(needed) <= set(_TRIED):
        return None
    try:
        with torch.device("meta"):
            model: nn.Module = registry.build("model", name, {}, _TRIED)
    except LamplighterError:
        return None
    return model


def _is(tensors: Mapping[str, Tensor], model: nn.Module) -> bool:
    _, named = fitting(tensors, model)
    own, first = model.state_dict(), first_convolution(model)
    of_task = {f"{part}.{number}" for part in ("norm", "scale") for number in ("mean", "std")}
    body = {name for name in own if not name.endswith("num_batches_tracked")} - names_in(head_of(model), model)
    if not body or body - named.keys() or named.keys() - own.keys() - of_task:
        return False
    return all(named[name].shape == own[name].shape or name == first for name in body)

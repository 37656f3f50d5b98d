"""Architectures by name. Lazy: listing them imports no torch.

>>> from lamplighter import models
>>> "cnn" in models.list()
True
"""

from __future__ import annotations

import builtins
import importlib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lamplighter.core import registry
from lamplighter.core.errors import LamplighterError

if TYPE_CHECKING:
    from lamplighter.models.inspecting.attention_maps import attention_maps as attention_maps
    from lamplighter.models.inspecting.feature_maps import feature_maps as feature_maps
    from lamplighter.models.inspecting.kernels import kernels as kernels
    from lamplighter.models.inspecting.output_size import output_size as output_size
    from lamplighter.models.inspecting.predict import predict as predict
    from lamplighter.models.inspecting.receptive_field import receptive_field as receptive_field
    from lamplighter.models.inspecting.structure import structure as structure
    from lamplighter.models.inspecting.summary import summary as summary
    from lamplighter.models.weights.pretrained import load_pretrained as load_pretrained

_LAZY = {
    "attention_maps",
    "feature_maps",
    "kernels",
    "output_size",
    "predict",
    "receptive_field",
    "structure",
    "summary",
}
"""Functions of `lamplighter.models.inspecting`, each in a file of its name, imported on first use."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"lamplighter.models.inspecting.{name}"), name)
    if name == "load_pretrained":
        return importlib.import_module("lamplighter.models.weights.pretrained").load_pretrained
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def create(name: str, **keywords: Any) -> Any:
    """A new ``torch.nn.Module``.

    Args:
        name: one of `list`.
        **keywords: the constructor's parameters, those that a recipe's data would fill in (``in_channels``,
            ``num_classes`` ...) among them.

    Raises:
        LamplighterError: unknown name or parameter, or a value that does not fit, with the nearest known word.

    >>> create("mlp", in_features=4, num_classes=3, hidden=(8,)).head
    Linear(in_features=8, out_features=3, bias=True)
    """
    from_data = registry.parameters_from_data(registry.get("model", name))
    facts = {key: value for key, value in keywords.items() if key in from_data}
    params = {key: value for key, value in keywords.items() if key not in from_data}
    missing = [key for key in from_data if key not in facts and key in _required(name)]
    if missing:
        raise LamplighterError(f"model '{name}' needs {', '.join(missing)}: create('{name}', {missing[0]}=...)")
    return registry.build("model", name, params, facts)


def list() -> builtins.list[str]:
    """Names of all architectures, one's own registered ones included."""
    return registry.names("model")


def load_reference(model: Any, state_dict: Mapping[str, Any]) -> Any:
    """Load a ``state_dict`` of the reference implementation: torchvision, timm or transformers. Strict.

    Names are translated where the model's class lists another layout, and cleared of what wrappers put in front.

    Args:
        model: as `create` made it, with the reference's sizes.
        state_dict: tensors by name. For files see `lamplighter.train.transfer.load`.

    Returns:
        A `lamplighter.models.weights.loading.LoadReport`.

    Raises:
        WeightsError: a tensor is missing, left over, or of another shape; nothing is loaded.

    >>> import torchvision
    >>> reference = torchvision.models.resnet18(num_classes=10)
    >>> model = create("resnet18", in_channels=3, num_classes=10)
    >>> len(load_reference(model, reference.state_dict()).loaded)
    122
    """
    from lamplighter.models.weights.loading import load

    return load(model, state_dict, source="the reference's state dict")


def _required(name: str) -> builtins.list[str]:
    signature = inspect.signature(registry.get("model", name))
    return [key for key, parameter in signature.parameters.items() if parameter.default is parameter.empty]

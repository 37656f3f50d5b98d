"""Nested states as JSON beside a flat dict of tensors.

>>> import torch
>>> tensors = {}
>>> plain = take_out({"step": 3, "mean": [torch.ones(2)]}, "", tensors)
>>> plain, list(tensors)
({'step': 3, 'mean': [{'$tensor': 'mean/0'}]}, ['mean/0'])
>>> put_back(plain, tensors)
{'step': 3, 'mean': [tensor([1., 1.])]}
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

_TENSOR = "$tensor"


def take_out(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """``value`` with every tensor moved into ``tensors`` and a reference in its place."""
    if isinstance(value, Tensor):
        tensors[path] = value
        return {_TENSOR: path}
    if isinstance(value, dict):
        return {str(key): take_out(item, f"{path}/{key}" if path else str(key), tensors) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [take_out(item, f"{path}/{index}", tensors) for index, item in enumerate(value)]
    return value


def put_back(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of `take_out`."""
    if isinstance(value, dict):
        if set(value) == {_TENSOR}:
            return tensors[value[_TENSOR]]
        return {key: put_back(item, tensors) for key, item in value.items()}
    if isinstance(value, list):
        return [put_back(item, tensors) for item in value]
    return value

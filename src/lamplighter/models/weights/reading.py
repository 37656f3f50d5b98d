"""Reads files of weights into tensors. Nothing is ever unpickled: a file with anything but tensors in it is refused."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lamplighter.core.errors import WeightsError
from lamplighter.core.weights import WeightFiles

NESTS = ("state_dict", "model_state_dict", "model", "net", "network")
"""Keys under which training scripts put the tensors when they save more than those."""


def read(source: WeightFiles) -> dict[str, Tensor]:
    """All tensors by name, on the CPU.

    Files are told apart by their content: safetensors, or what ``torch.save`` wrote, which is read with
    ``weights_only``. A mapping that holds the tensors under one of `NESTS`, beside an epoch or an optimizer, is opened.

    Args:
        source: see `lamplighter.core.weights.find`.

    Raises:
        WeightsError: a file is damaged, holds other objects, or no tensors; or a shard repeats or lacks a tensor.
    """
    tensors: dict[str, Tensor] = {}
    for path in source.paths:
        part = _safetensors(path) if _is_safetensors(path) else _torch(path)
        repeated = tensors.keys() & part.keys()
        if repeated:
            raise WeightsError(f"{path}: holds '{min(repeated)}', which another file of {source.shown} holds too")
        tensors |= part
    broken = next((name for name, tensor in tensors.items() if not _finite(tensor)), None)
    if broken is not None:
        raise WeightsError(f"{source.shown}: '{broken}' has values that are not finite; such a network computes NaN")
    return tensors


def nested(saved: Any, where: str) -> dict[str, Tensor]:
    """The tensors in what ``torch.load`` gave.

    Args:
        saved: a mapping of names to tensors, or one that holds such a mapping under one of `NESTS`.
        where: for messages.

    Raises:
        WeightsError: there are none.

    >>> list(nested({"epoch": 3, "state_dict": {"fc.bias": torch.zeros(2)}}, "file"))
    ['fc.bias']
    """
    if isinstance(saved, Mapping):
        for key in NESTS:
            inner = saved.get(key)
            if isinstance(inner, Mapping) and any(isinstance(value, Tensor) for value in inner.values()):
                return nested(inner, where)
        tensors = {str(name): value for name, value in saved.items() if isinstance(value, Tensor)}
        if tensors:
            return tensors
        keys = ", ".join(f"'{key}'" for key in list(saved)[:5])
        raise WeightsError(f"{where}: holds no tensors, only {keys or 'an empty mapping'}")
    raise WeightsError(f"{where}: holds a {type(saved).__name__}, not a mapping from names to tensors")


def _is_safetensors(path: Path) -> bool:
    """A safetensors file begins with the length of a header, then the header, which is JSON."""
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and struct.unpack("<Q", head[:8])[0] < path.stat().st_size


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: damaged: {error}") from None


def _torch(path: Path) -> dict[str, Tensor]:
    try:
        with path.open("rb") as file, warnings.catch_warnings():  # given a path, torch goes by its ending
            warnings.simplefilter("ignore")  # torch comments on the pickle protocol of old files
            saved = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from None
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path}: {_what_else(str(error))}") from None
    except (EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError):
        raise WeightsError(f"{path}: {_NEITHER}") from None
    return nested(saved, str(path))


_NEITHER = "neither safetensors nor a whole file of torch.save"


def _what_else(message: str) -> str:
    """From torch's advice, only what was found: the rest of it recommends to unpickle."""
    found = re.search(r"(?:GLOBAL|Unsupported class) ([\w.]+)", message)
    if not found:
        return _NEITHER
    return (
        f"holds '{found[1]}' objects beside tensors. To read those is to run code from the file, so it is refused. "
        "Save the tensors alone where you trust it: torch.save(model.state_dict(), ...), or "
        "safetensors.torch.save_file"
    )


def _finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point():
        return True
    wide = tensor if tensor.dtype in (torch.float64, torch.float32) else tensor.float()
    return bool(torch.isfinite(wide.sum())) or bool(torch.isfinite(wide).all())

"""Checkpoints of sharded trainings: each process writes its part as safetensors; any number of processes reads them.

torch's distributed checkpoint (DCP) with its safetensors writer and reader. Its default reader would unpickle.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.tensor import DTensor

from lamplighter.core import files
from lamplighter.core.errors import RunError
from lamplighter.train.distributed.strategy import Strategy
from lamplighter.train.nested import put_back, take_out

Like = Callable[[str], Tensor | None]
"""Path of a tensor in the state -> the parameter it is spread like, or None for one that every process has whole."""


def save(path: Path, module: nn.Module, state: dict[str, Any], strategy: Strategy) -> None:
    """Write a checkpoint; called by all processes together. See `lamplighter.train.checkpoint.save`."""
    tensors: dict[str, Tensor] = {}
    plain = take_out(state, "", tensors)
    with files.directory(path) if strategy.main else _nowhere() as own:
        folder = Path(strategy.share(str(own) if own else None))
        named = {f"model/{name}": tensor for name, tensor in module.state_dict().items()}
        named |= {f"state/{name}": tensor for name, tensor in tensors.items()}
        dcp.save(
            {name: _plain(tensor) for name, tensor in named.items()},
            storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True),
        )
        if strategy.main:
            (folder / "state.json").write_text(json.dumps(plain), encoding="utf-8")
    strategy.barrier()


def load_model(path: Path, module: nn.Module) -> None:
    """Fill ``module``, sharded or not, with a checkpoint's parameters and buffers."""
    own = {f"model/{name}": tensor for name, tensor in module.state_dict().items()}
    sizes = {name: size for name, (size, _) in _contents(path).items() if name.startswith("model/")}
    differing = sorted({*sizes, *own} - {name for name in own if sizes.get(name) == tuple(own[name].shape)})
    if differing:
        name = differing[0].removeprefix("model/")
        raise RunError(f"{path}: belongs to another network: '{name}' differs ({len(differing)} tensors do)")
    _read(path, own)


def load_state(path: Path, like: Like) -> dict[str, Any]:
    """The state that `save` was given; tensors that ``like`` knows are spread over the processes."""
    plain = json.loads((path / "state.json").read_text(encoding="utf-8"))
    found: dict[str, Tensor] = {}
    for key, (size, dtype) in _contents(path).items():
        name = key.removeprefix("state/")
        if key == name:
            continue
        parameter = like(name)
        if parameter is not None and tuple(parameter.shape) == size:
            found[name] = torch.empty_like(parameter, dtype=dtype, requires_grad=False)
        else:
            found[name] = torch.empty(size, dtype=dtype)
    _read(path, {f"state/{name}": tensor for name, tensor in found.items()})
    return cast(dict[str, Any], put_back(plain, found))


def _read(path: Path, tensors: dict[str, Tensor]) -> None:
    """Fill the tensors in place."""
    targets = {name: tensor if isinstance(tensor, DTensor) else _contiguous(tensor) for name, tensor in tensors.items()}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled")  # one process may read, too
            dcp.load(
                cast(dict[str, Any], targets),
                storage_reader=HuggingFaceStorageReader(str(path)),
                no_dist=not dist.is_initialized(),
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise RunError(f"{path}: cannot read the checkpoint: {error}") from None
    with torch.no_grad():
        for name, tensor in tensors.items():
            if targets[name] is not tensor:
                tensor.copy_(targets[name])


def _contents(path: Path) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Size and type of each whole tensor."""
    try:
        metadata = HuggingFaceStorageReader(str(path)).read_metadata()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise RunError(f"{path}: cannot read the checkpoint: {error}") from None
    entries = metadata.state_dict_metadata.items()
    return {name: (tuple(e.size), e.properties.dtype) for name, e in entries if isinstance(e, TensorStorageMetadata)}


def _contiguous(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach() if isinstance(tensor, DTensor) else tensor.detach().to("cpu", copy=True).contiguous()


class _nowhere:
    """Stands for the folder in processes that do not make it."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None

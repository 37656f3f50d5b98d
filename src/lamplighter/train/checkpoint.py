"""Checkpoints: a folder of safetensors and JSON that appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lamplighter.core import files
from lamplighter.core.errors import RunError
from lamplighter.train.distributed.strategy import Strategy
from lamplighter.train.nested import put_back, take_out


def save(path: Path, module: nn.Module, state: dict[str, Any], strategy: Strategy | None = None) -> None:
    """Write ``model.safetensors`` (parameters and buffers) and ``state.json`` with ``state.safetensors``.

    Args:
        path: the folder; replaced as a whole.
        module: its ``state_dict`` holds tensors only.
        state: nested dicts and lists of numbers, texts, None and tensors.
        strategy: of the training; of several processes all call this, and the first writes (``fsdp``: each its part).
    """
    if strategy is not None and strategy.name == "fsdp":
        from lamplighter.train.distributed import sharded

        sharded.save(path, module, state, strategy)
    if strategy is not None and (strategy.name == "fsdp" or not strategy.main):
        return
    tensors: dict[str, Tensor] = {}
    plain = take_out(state, "", tensors)
    with files.directory(path) as folder:
        save_file({name: _plain(tensor) for name, tensor in module.state_dict().items()}, folder / "model.safetensors")
        save_file({name: _plain(tensor) for name, tensor in tensors.items()}, folder / "state.safetensors")
        (folder / "state.json").write_text(json.dumps(plain), encoding="utf-8")


def exists(path: Path) -> bool:
    """Whether there is a checkpoint."""
    return (path / "state.json").is_file()


def repair(path: Path) -> None:
    """Tidy up what a kill in the middle of `save` left behind; only for the process that trains here.

    Replacing a folder takes two renames; between them the old one stands beside the empty place, as ``.last.*.old``.
    """
    if not path.parent.is_dir():
        return
    retired = sorted(folder for folder in path.parent.glob(f".{path.name}.*.old") if any(folder.iterdir()))
    if retired and not path.exists():
        retired[0].rename(path)
    for leftover in [*path.parent.glob(f".{path.name}.*.old"), *path.parent.glob(f".{path.name}.*.tmp")]:
        shutil.rmtree(leftover)


def load_model(path: Path, module: nn.Module) -> None:
    """Copy the checkpoint's parameters and buffers into ``module``, which keeps its memory layout.

    Raises:
        RunError: no checkpoint, a damaged one, or one of another network.
    """
    if is_sharded(path):
        from lamplighter.train.distributed import sharded

        sharded.load_model(path, module)
        return
    saved = _tensors(path / "model.safetensors")
    own = module.state_dict()
    differing = sorted(
        {*saved, *own} - {name for name in saved if name in own and saved[name].shape == own[name].shape}
    )
    if differing:
        raise RunError(f"{path}: belongs to another network: '{differing[0]}' differs ({len(differing)} tensors do)")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(spread_like(saved[name], tensor))


def is_sharded(path: Path) -> bool:
    """Whether several processes wrote the checkpoint, each its part."""
    return exists(path) and not (path / "model.safetensors").is_file()


def digest(path: Path) -> str:
    """SHA-256 of a checkpoint's weights: of their file, or of the parts that several processes wrote.

    Raises:
        RunError: there is no checkpoint.
    """
    if not exists(path):
        raise RunError(f"{path}: no checkpoint")
    if not is_sharded(path):
        return files.sha256(path / "model.safetensors")
    parts = "".join(files.sha256(part) for part in sorted(path.glob("*.safetensors")))
    return hashlib.sha256(parts.encode()).hexdigest()


def load_state(path: Path, like: Callable[[str], Tensor | None] = lambda _: None) -> dict[str, Any]:
    """The nested state that `save` was given, tensors on the CPU.

    Args:
        path: the folder.
        like: path of a tensor in the state -> the parameter it is spread over processes like, or None.
    """
    if is_sharded(path):
        from lamplighter.train.distributed import sharded

        return sharded.load_state(path, like)
    try:
        plain = json.loads((path / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot read the checkpoint: {error}") from None
    tensors = _tensors(path / "state.safetensors")
    return cast(dict[str, Any], put_back(plain, tensors))


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What an optimizer remembers of each parameter (in the order of its groups); settings are not part of it."""
    state = optimizer.state_dict()["state"]
    return {str(index): dict(entries) for index, entries in state.items()}


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Continue with what `optimizer_state` gave.

    safetensors keeps values but not memory layout. A fused step reads parameter and state in memory order, so a
    channels_last parameter with a contiguous momentum would be updated with the wrong numbers. Hence each entry of
    the parameter's shape is copied into a tensor laid out like the parameter.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    restored: dict[int, dict[str, Any]] = {}
    for index, entries in state.items():
        parameter = parameters[int(index)]
        restored[int(index)] = {name: _laid_out(value, parameter) for name, value in entries.items()}
    optimizer.load_state_dict({"state": restored, "param_groups": optimizer.state_dict()["param_groups"]})


def _laid_out(value: Any, parameter: Tensor) -> Any:
    if isinstance(value, Tensor) and value.shape == parameter.shape and value.dim() > 0:
        return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(spread_like(value, parameter))
    return value


def spread_like(value: Tensor, parameter: Tensor) -> Tensor:
    """``value`` spread over the processes as ``parameter`` is, where it is."""
    if type(parameter) in (Tensor, nn.Parameter):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(parameter, DTensor) or isinstance(value, DTensor):
        return value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)


def _plain(tensor: Tensor) -> Tensor:
    """A contiguous copy on the CPU that shares no memory (safetensors refuses tensors that do)."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path}: cannot read the checkpoint: {error}") from None

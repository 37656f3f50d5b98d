"""``weights.safetensors``: parameters and buffers by name, for reading the model back into torch."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from lamplighter.core import files
from lamplighter.core.errors import BundleError
from lamplighter.core.export_spec import ExportSpec
from lamplighter.core.signature import Signature

FILE = "weights.safetensors"


def write(
    spec: ExportSpec,
    folder: Path,
    example: tuple[Tensor, ...],  # noqa: ARG001 - every format is called alike
    signature: Signature,  # noqa: ARG001
) -> str:
    """Write the network's ``state_dict``.

    Tied tensors are written once for each name, so that ``load_state_dict(strict=True)`` takes the file as it is.

    Args:
        spec: the network.
        folder: where to write.
        example: not used; every format is called alike.
        signature: not used.

    Returns:
        Name of the file.

    Raises:
        BundleError: the ``state_dict`` holds something that is no tensor.
    """
    tensors: dict[str, Tensor] = {}
    for name, value in spec.module.state_dict().items():
        if not isinstance(value, Tensor):
            raise BundleError(f"the network keeps '{name}' ({type(value).__name__}) in its state; only tensors can be")
        tensors[name] = value.detach().clone(memory_format=torch.contiguous_format)
    files.write_with(folder / FILE, lambda path: save_file(tensors, path, metadata={"format": "pt"}))
    return FILE

"""Loading and running a bundle with numpy and ONNX Runtime; imports no torch.

`load_bundle` and `Bundle` are imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamplighter.bundle.runtime.bundle import Bundle as Bundle
    from lamplighter.bundle.runtime.bundle import load_bundle as load_bundle

__all__ = ["Bundle", "load_bundle"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'lamplighter.bundle.runtime' has no attribute '{name}'")
    return getattr(importlib.import_module("lamplighter.bundle.runtime.bundle"), name)

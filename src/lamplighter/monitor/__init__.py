"""Watching a model in service: records, drift tests, realised performance, alerts, and a live page. No torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamplighter.monitor.service import Monitor
    from lamplighter.monitor.store import Store, open_store

__all__ = ["Monitor", "Store", "open_store"]

_HOME = {"Monitor": "service", "Store": "store", "open_store": "store"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)

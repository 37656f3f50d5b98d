"""Data sources, splits, loader, augmentation and preprocessing. Lazy, since preprocessing must import without torch."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "Loader":
        from lamplighter.data.loader import Loader

        return Loader
    raise AttributeError(f"module 'lamplighter.data' has no attribute '{name}'")

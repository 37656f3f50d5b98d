"""Numbers and values as records and messages show them."""

from __future__ import annotations

from typing import Any

import numpy as np


def number(value: np.floating[Any]) -> float | None:
    """A float for JSON; None for what JSON cannot say."""
    return float(value) if np.isfinite(value) else None


def quoted(value: Any) -> str:
    """A value for a message, cut after 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

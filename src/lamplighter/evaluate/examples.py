"""Rows worth looking at, as pictures or as table rows, with what the model said about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from lamplighter.core.signature import Signature
from lamplighter.evaluate.glossary import figure
from lamplighter.evaluate.pictures import data_uri

PICTURES = 24
ROWS = 15
_COLUMNS = 40
_CHARACTERS = 60


def count(signature: Signature) -> int:
    """How many examples the page has room for."""
    return PICTURES if _shows_pictures(signature) else ROWS


def gallery(
    raw: Callable[[np.ndarray], list[Any]], positions: np.ndarray, notes: Sequence[dict[str, str]], signature: Signature
) -> dict[str, Any]:
    """Raw rows made presentable.

    Args:
        raw: positions among the evaluated rows -> rows as a client would send them.
        positions: (M,) which rows.
        notes: what to say about each: names of the page's own columns -> text.
        signature: tells pictures from table rows.

    Returns:
        ``pictures`` (bool), ``columns`` (names), ``items``: dicts with ``note`` and either ``picture`` (None when it
        cannot be shown, then ``trouble`` says why) or ``cells``.
    """
    rows = raw(positions) if len(positions) else []
    if _shows_pictures(signature):
        items = [{"note": note, **_picture(row, signature.inputs[0].name)} for row, note in zip(rows, notes)]
        return {"pictures": True, "columns": [], "items": items}
    columns = [column.name for column in signature.inputs][:_COLUMNS]
    items = [
        {"note": note, "cells": [_cell(value) for value in _values(row, columns)]} for row, note in zip(rows, notes)
    ]
    return {"pictures": False, "columns": columns, "items": items}


def _shows_pictures(signature: Signature) -> bool:
    return len(signature.inputs) == 1 and signature.inputs[0].kind == "image"


def _picture(row: Any, name: str) -> dict[str, Any]:
    try:
        return {"picture": data_uri(row[name] if isinstance(row, dict) else row), "trouble": None}
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        return {"picture": None, "trouble": f"cannot be shown: {_cell(getattr(error, 'strerror', None) or str(error))}"}


def _values(row: Any, columns: Sequence[str]) -> list[Any]:
    return [row.get(name) for name in columns] if isinstance(row, dict) else [row]


def _cell(value: Any) -> str:
    """A value in a table's cell, cut where it is long."""
    if value is None:
        return ""
    if isinstance(value, np.ndarray):
        value = np.array2string(value, precision=4, threshold=8, edgeitems=3, separator=", ").replace("\n", "")
    if isinstance(value, float | np.floating):
        return figure(float(value))
    text = str(value)
    return text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1] + "…"

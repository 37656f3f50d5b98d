"""Raw rows of every shape become cells or pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.evaluate import examples


def _signature(*columns: Column) -> Signature:
    return Signature(inputs=columns, tensors=(TensorSpec(name="x", dtype="float32", shape=(1,)),), targets=())


IMAGE = _signature(Column(name="image", kind="image", shape=(4, 4, 1)))
TABLE = _signature(Column(name="b", kind="numeric"), Column(name="a", kind="text"), Column(name="when", kind="date"))
ARRAY = _signature(Column(name="x", kind="array", shape=(100,)))


def _gallery(rows: list[Any], signature: Signature) -> dict[str, Any]:
    notes = [{"true": "t"}] * len(rows)
    return examples.gallery(lambda positions: [rows[p] for p in positions], np.arange(len(rows)), notes, signature)


def test_cells_stand_in_the_order_of_the_signature() -> None:
    rows = [{"a": "x" * 100, "b": 1234.5, "when": "2024-02-01", "unknown": 1}, {"a": None, "b": 3, "when": True}]
    shown = _gallery(rows, TABLE)
    assert shown["columns"] == ["b", "a", "when"] and not shown["pictures"]
    assert shown["items"][0]["cells"] == ["1,234", "x" * 59 + "…", "2024-02-01"]
    assert shown["items"][1]["cells"] == ["3", "", "True"]


def test_an_array_is_one_short_cell() -> None:
    cell = _gallery([np.arange(100.0)], ARRAY)["items"][0]["cells"][0]
    assert cell.startswith("[ 0.,  1.,  2.") and len(cell) <= 60


def test_pictures_as_arrays_and_in_dicts() -> None:
    picture = np.zeros((4, 4), dtype=np.uint8)
    items = _gallery([picture, {"image": picture}], IMAGE)["items"]
    assert items[0]["picture"] == items[1]["picture"] and items[0]["picture"].startswith("data:")


def test_a_picture_that_cannot_be_shown_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    Image.new("L", (30, 30)).save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    troubles = [item["trouble"] for item in _gallery([str(tmp_path / "huge.png"), b"no", np.zeros(3)], IMAGE)["items"]]
    assert all(trouble.startswith("cannot be shown: ") for trouble in troubles)
    assert "exceeds limit" in troubles[0] and "identify" in troubles[1] and "no picture" in troubles[2]


def test_no_rows_ask_for_nothing() -> None:
    def broken(positions: np.ndarray) -> list[Any]:
        raise AssertionError("nothing to fetch")

    assert examples.gallery(broken, np.empty(0, dtype=int), [], IMAGE)["items"] == []
    assert (examples.count(IMAGE), examples.count(TABLE)) == (24, 15)

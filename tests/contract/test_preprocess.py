"""What every preprocessing step must hold: parameters that are JSON, rows treated one by one, the input left alone."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lamplighter.core import registry
from lamplighter.core.errors import InputError
from lamplighter.core.seeding import generator
from lamplighter.data.tokenization.training import train


def _png(size: tuple[int, int]) -> bytes:
    out = BytesIO()
    Image.fromarray(_picture(size)).save(out, "PNG")
    return out.getvalue()


def _picture(size: tuple[int, int]) -> np.ndarray:
    return generator(0, "picture", *size).integers(0, 256, (*size, 3), dtype=np.uint8)


_COLUMNS = [
    {"kind": "numeric", "name": "age", "mean": 40.0, "std": 10.0, "fill": 38.0, "required": False},
    {"kind": "category", "name": "city", "categories": ["Rome", "Oslo"]},
]

CASES: dict[str, tuple[dict[str, Any], Sequence[Any], Any]] = {
    "decode-image": ({}, [_png((4, 5)), _png((7, 3)), _picture((2, 2))], b"not an image"),
    "resize": ({"height": 3, "width": 4}, [_picture((8, 9)), _picture((3, 4)), _picture((2, 2))], None),
    "stack-images": ({}, [_picture((3, 4)), _picture((3, 4)) // 2, _picture((3, 4)) // 3], _picture((5, 5))),
    "fit-images": ({"height": 3, "width": 4}, [_picture((8, 9)), _picture((3, 4)), _picture((2, 2))], None),
    "tokenize": (
        {"field": "text", "pad": 0, "max_length": 6},
        [{"text": "to be"}, "to be or not to be or not", {"text": "or"}],
        {"text": " \t"},
    ),
    "encode-table": (
        {"columns": _COLUMNS},
        [{"age": 50, "city": "Oslo"}, {"age": None, "city": "Rome"}, {"age": 35.5, "city": "Lima"}],
        {"age": "old", "city": "Rome"},
    ),
}
"""Step -> (parameters, good rows, a bad row or None when rows cannot be bad). A new step needs a line here."""


ASSETS = {"tokenizer.json": train(["to be or not to be"], "words", vocab_size=20)}


@pytest.fixture(params=registry.names("preprocess"))
def name(request: pytest.FixtureRequest) -> str:
    if request.param not in CASES:
        pytest.fail(f"preprocess '{request.param}' has no rows to be tried with; add a line to CASES in {__file__}")
    return str(request.param)


def build(name: str) -> Any:
    return registry.build("preprocess", name, json.loads(json.dumps(CASES[name][0])), {"assets": ASSETS})


def rows_of(result: Any) -> list[np.ndarray]:
    """One array for each row, whether the step gives a list or tensors."""
    if isinstance(result, dict):
        return list(next(iter(result.values())))
    return list(result)


def test_every_row_gets_an_answer_of_its_own(name: str) -> None:
    step, rows = build(name), CASES[name][1]
    together = rows_of(step(list(rows)))
    assert len(together) == len(rows)
    for row, expected in zip(rows, together):
        (alone,) = rows_of(step([row]))
        assert alone.dtype == expected.dtype
        np.testing.assert_array_equal(alone, _without_filling(expected, alone))
    for row, expected in zip(reversed(rows), rows_of(step(list(reversed(rows))))):
        (alone,) = rows_of(step([row]))
        np.testing.assert_array_equal(alone, _without_filling(expected, alone))


def _without_filling(row: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """A row as it is alone: together with longer ones zeros fill it up."""
    own = tuple(slice(size) for size in alone.shape)
    rest = row.copy()
    rest[own] = 0
    assert not rest.any()
    return row[own]


def test_rows_given_are_left_alone(name: str) -> None:
    rows = list(CASES[name][1])
    kept = copy.deepcopy(rows)
    build(name)(rows)
    for row, before in zip(rows, kept):
        np.testing.assert_equal(row, before)


def test_a_bad_row_is_named(name: str) -> None:
    rows, bad = CASES[name][1], CASES[name][2]
    if bad is None:
        return
    with pytest.raises(InputError) as caught:
        build(name)([rows[0], rows[0], bad])
    assert caught.value.row == 2
    assert caught.value.field

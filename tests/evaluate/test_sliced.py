"""What the report says of slices: by the columns of a table, the worst first, and of at most so many rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.evaluate import sliced as module
from lamplighter.evaluate.sliced import sliced


def _signature(*inputs: Column, labels: tuple[str, ...] = ("a", "b")) -> Signature:
    target = Column(name="y", kind="category" if labels else "numeric", categories=labels)
    return Signature(inputs=inputs, tensors=(TensorSpec(name="x", dtype="float32", shape=(1,)),), targets=(target,))


COLUMNS = (
    Column(name="region", kind="category", categories=("n", "s")),
    Column(name="age", kind="numeric"),
    Column(name="member", kind="boolean"),
    Column(name="born", kind="date"),
    Column(name="same", kind="category", categories=("x",)),
)


def _raw(positions: np.ndarray) -> list[Any]:
    return [
        {"region": "ns"[i % 2], "age": float(i), "member": int(i % 3 == 0), "born": f"2000-01-{i}", "same": "x"}
        for i in positions.tolist()
    ]


def _outputs(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Rows of the south are answered by lot."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    wrong = (np.arange(n) % 2 == 1) & (rng.random(n) < 0.5)
    return {"probabilities": np.where(np.arange(2) == np.where(wrong, 1 - y, y)[:, None], 0.9, 0.1), "y": y}


def test_every_column_that_tells_rows_apart_is_looked_at() -> None:
    outputs = _outputs(400)
    view = sliced(outputs, _signature(*COLUMNS), _raw)
    assert view is not None
    assert (view["title"], view["columns"], view["looked_at"], view["worse"], view["more"]) == ("Accuracy", 4, 8, 1, 0)
    assert {(row["column"], row["value"]) for row in view["rows"]} == {
        ("region", "n"),
        ("region", "s"),
        *(("age", value) for value in ("below 100", "100 to 200", "200 to 300", "300 and above")),
        ("member", "yes"),
        ("member", "no"),
    }
    worst = view["rows"][0]
    right = (outputs["probabilities"].argmax(axis=1) == outputs["y"])[1::2]
    assert (worst["value"], worst["n"], worst["score"]) == ("s", 200, f"{right.mean():.1%}")
    assert worst["worse"] and worst["p"] == "0.001" and worst["rest"] == "100.0%"
    assert float(worst["bar"]["left"]) < float(worst["bar"]["at"]) < float(worst["bar"]["rest"]) == 100


def test_answers_that_a_threshold_decided_are_the_ones_judged() -> None:
    outputs = _outputs(300)
    view = sliced({**outputs, "answers": outputs["y"]}, _signature(*COLUMNS), _raw)
    assert view is not None and view["worse"] == 0 and all(row["score"] == "100.0%" for row in view["rows"])


def test_numbers_are_judged_by_their_mean_error_on_a_scale_where_all_fit() -> None:
    y = np.arange(200.0)[:, None]
    value = y + np.where(np.arange(200) % 2 == 1, 50.0, 10.0)[:, None] * np.random.default_rng(0).normal(size=(200, 1))
    view = sliced({"value": value, "y": y}, _signature(*COLUMNS, labels=()), _raw)
    assert view is not None and view["title"] == "Mean absolute error"
    assert view["rows"][0]["value"] == "s" and view["rows"][0]["worse"]
    for row in view["rows"]:
        left, width = float(row["bar"]["left"]), float(row["bar"]["width"])
        assert left >= 0 and left + width <= 100.01


def test_pictures_and_plain_arrays_have_no_slices() -> None:
    assert sliced(_outputs(50), _signature(Column(name="image", kind="image", shape=(2, 2, 1))), _raw) is None
    assert sliced(_outputs(50), _signature(COLUMNS[-1]), _raw) is None
    assert sliced({"probabilities": np.empty((0, 2)), "y": np.empty(0, int)}, _signature(*COLUMNS), _raw) is None


def test_of_many_rows_and_columns_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def raw(positions: np.ndarray) -> list[Any]:
        asked.append(len(positions))
        return _raw(positions)

    monkeypatch.setattr(module, "_ROWS", 100)
    monkeypatch.setattr(module, "_COLUMNS", 2)
    view = sliced(_outputs(400), _signature(*COLUMNS), raw)
    assert view is not None and asked == [100]
    assert (view["n"], view["of"], view["columns"], view["more"]) == (100, 400, 2, 2)
    assert sliced(_outputs(400), _signature(*COLUMNS), raw) == view


def test_a_diverged_models_numbers_have_no_slices() -> None:
    value = np.full((60, 1), np.nan)
    assert sliced({"value": value, "y": np.zeros((60, 1))}, _signature(*COLUMNS, labels=()), _raw) is None

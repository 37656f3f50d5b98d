"""The numbers behind the regression part of the page."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.evaluate.regressed import regressed


def _view(value: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    targets = tuple(Column(name=f"t{i}", kind="numeric") for i in range(y.reshape(len(y), -1).shape[1]))
    signature = Signature(
        inputs=(Column(name="x", kind="numeric"),),
        tensors=(TensorSpec(name="x", dtype="float32", shape=(1,)),),
        targets=targets,
    )
    return regressed({"value": value, "y": y}, signature, lambda positions: [{"x": int(p)} for p in positions])


def test_the_baseline_is_the_error_of_the_mean() -> None:
    y = np.array([1.0, 2.0, 3.0, 6.0])
    assert _view(y, y)["baseline"] == f"{np.sqrt(((y - y.mean()) ** 2).mean()):.4g}"


def test_rows_are_compared_in_standard_deviations_of_their_target() -> None:
    y = np.random.default_rng(0).normal(size=(50, 2)) * [1, 1000]
    value = y.copy()
    value[7, 0] += 5  # five deviations
    value[8, 1] += 900  # less than one
    worst = _view(value, y)["worst"]["items"]
    assert [item["cells"] for item in worst[:2]] == [["7"], ["8"]]
    assert worst[0]["note"]["target"] == "t0" and worst[0]["note"]["off"] == "+5"


def test_blank_rows_are_never_the_worst() -> None:
    y = np.full((30, 1), np.nan)
    y[3] = 1.0
    items = _view(np.zeros((30, 1)), y)["worst"]["items"]
    assert [item["cells"] for item in items] == [["3"]]


def test_the_verdict_tells_bias_from_chance() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=400)
    noise = rng.normal(size=400)
    assert "as often as too low" in _view(y + noise - noise.mean(), y)["targets"][0]["verdict"]
    assert "on average 2" in _view(y + 0.01 * noise + 2, y)["targets"][0]["verdict"]
    assert "too low" in _view(y + 0.01 * noise - 2, y)["targets"][0]["verdict"].split("they are")[1]


def test_vectors_and_float32_are_fine() -> None:
    y = np.arange(10, dtype=np.float32)
    assert _view(y + 1, y)["table"][0] == {
        "name": "t0", "n": "10", "loss": "1", "mae": "1", "rmse": "1", "r2": "0.8788",
    }  # fmt: skip

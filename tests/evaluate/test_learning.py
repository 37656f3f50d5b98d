"""Which epoch is best, and what the page says about the curves."""

from __future__ import annotations

from typing import Any

import pytest

from lamplighter.evaluate.learning import learning

ACCURACY = {"train": {"monitor": {"metric": "accuracy", "mode": "max"}}}


def _history(train: list[float | None], val: list[float | None], accuracy: list[float]) -> list[dict[str, Any]]:
    return [
        {"event": "epoch", "epoch": e, "seconds": 2.0, "train/loss": t, "val/loss": v, "val/accuracy": a}
        for e, (t, v, a) in enumerate(zip(train, val, accuracy), start=1)
    ]


def _learned(history: list[dict[str, Any]], recipe: dict[str, Any] = ACCURACY) -> dict[str, Any]:
    result = learning(history, recipe, kind="classification")
    assert result is not None
    return result


def test_the_first_best_epoch_of_the_monitored_metric_is_marked() -> None:
    history = _history([3, 2, 1], [3, 1, 2], [0.5, 0.8, 0.8])
    assert _learned(history)["best"] == 2
    assert _learned(history, {"train": {"monitor": {"metric": "loss", "mode": "min"}}})["best"] == 2
    assert _learned(history, {})["best"] == 2  # validation loss when a recipe says nothing
    assert _learned(history)["seconds"] == 6.0


def test_memorising_is_named() -> None:
    memorising = _learned(_history([3, 2, 1, 0.5], [3, 1, 1.5, 2], [0.5, 0.8, 0.7, 0.7]))["reading"]
    assert any("after epoch 2" in sentence and "by heart" in sentence for sentence in memorising)
    healthy = _learned(_history([3, 2, 1, 0.9], [3, 1, 1.01, 1.02], [0.5, 0.8, 0.7, 0.7]))["reading"]
    assert not any("by heart" in sentence for sentence in healthy)


def test_a_best_epoch_at_the_end_asks_for_more() -> None:
    assert any("more epochs" in s for s in _learned(_history([3, 2, 1], [3, 2, 1], [0.5, 0.6, 0.7]))["reading"])
    assert not any("more epochs" in s for s in _learned(_history([3, 2, 1], [3, 2, 1], [0.5, 0.7, 0.6]))["reading"])


def test_what_is_not_finite_is_a_gap_and_said_so() -> None:
    result = _learned(_history([3, None, 1], [3, None, 1], [0.5, float("nan"), 0.7]))
    assert result["best"] == 3 and any("gap" in sentence for sentence in result["reading"])


def test_of_an_epoch_recorded_twice_the_later_one_counts() -> None:
    history = _history([3, 2], [3, 2], [0.5, 0.9])
    again = {**history[1], "val/accuracy": 0.4}
    assert _learned([*history, again])["best"] == 1
    assert _learned([*history, again])["epochs"] == 2


def test_other_records_are_not_epochs() -> None:
    assert learning([{"event": "precision", "step": 0}], ACCURACY, kind="classification") is None


@pytest.mark.parametrize("metric", ["loss", "accuracy", "mine"])
def test_the_monitored_metric_gets_a_chart(metric: str) -> None:
    history = [{**record, "val/mine": 1.0} for record in _history([3, 2], [3, 2], [0.5, 0.9])]
    charts = _learned(history, {"train": {"monitor": {"metric": metric, "mode": "max"}}})["charts"]
    assert [chart["title"] for chart in charts] == ["Log-loss", "mine" if metric == "mine" else "Accuracy"]

"""The report's learning curves, and what can be read off them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lamplighter.evaluate.charts import epochs_chart
from lamplighter.evaluate.glossary import figure, meaning


def learning(history: Sequence[dict[str, Any]], recipe: dict[str, Any], kind: str) -> dict[str, Any] | None:
    """Charts and sentences about the epochs.

    Args:
        history: records of ``metrics.jsonl``; of an epoch that stands there twice the later one counts.
        recipe: resolved; ``train.monitor`` says which epoch is best.
        kind: of answer, for words.

    Returns:
        ``charts`` (title, svg, text), ``reading`` (sentences), ``epochs``, ``best`` (an epoch or None), ``seconds``
        and ``stopped`` (reason or None); None when no epoch is recorded.
    """
    by_epoch = {int(record["epoch"]): record for record in history if record.get("event") == "epoch"}
    if not by_epoch:
        return None
    epochs = sorted(by_epoch)
    records = [by_epoch[epoch] for epoch in epochs]
    metric, mode = _monitored(recipe)
    watched = _series(records, f"val/{metric}")
    best = best_epoch(epochs, watched, mode)
    shown = ["loss"]
    if metric != "loss" and _any(watched):
        shown.append(metric)
    elif kind == "classification" and _any(_series(records, "val/accuracy")):
        shown.append("accuracy")
    charts = []
    for name in shown:
        train, val = _series(records, f"train/{name}"), _series(records, f"val/{name}")
        if _any(train) or _any(val):
            title = meaning(name, kind).title
            svg = epochs_chart(epochs, train, val, best=best, about=f"{title} over {len(epochs)} epochs")
            charts.append({"title": title, "svg": svg, "two": _any(train) and _any(val)})
    return {
        "charts": charts,
        "reading": _reading(epochs, records, best, metric, watched, kind),
        "epochs": len(epochs),
        "best": best,
        "seconds": sum(float(record.get("seconds") or 0) for record in records),
        "stopped": next((r.get("reason") for r in reversed(history) if r.get("event") == "stop"), None),
    }


def best_epoch(epochs: Sequence[int], values: Sequence[float], mode: str) -> int | None:
    """The first epoch with the best finite value.

    >>> best_epoch([1, 2, 3, 4], [0.5, float("nan"), 0.9, 0.9], "max")
    3
    """
    finite = [(value, epoch) for value, epoch in zip(values, epochs) if math.isfinite(value)]
    if not finite:
        return None
    wanted = min(finite)[0] if mode == "min" else max(finite)[0]
    return next(epoch for value, epoch in finite if value == wanted)


def _monitored(recipe: dict[str, Any]) -> tuple[str, str]:
    monitor = (recipe.get("train") or {}).get("monitor") or {}
    return str(monitor.get("metric", "loss")), str(monitor.get("mode", "min"))


def _series(records: Sequence[dict[str, Any]], key: str) -> list[float]:
    """One number an epoch; NaN where the record has none, or null."""
    return [float(value) if isinstance(value := record.get(key), int | float) else math.nan for record in records]


def _any(values: Sequence[float]) -> bool:
    return any(math.isfinite(value) for value in values)


def _reading(
    epochs: Sequence[int],
    records: Sequence[dict[str, Any]],
    best: int | None,
    metric: str,
    watched: Sequence[float],
    kind: str,
) -> list[str]:
    """What an experienced person would say about the curves."""
    said = []
    name = meaning(metric, kind)
    if best is not None:
        value = figure(watched[list(epochs).index(best)], name.style)
        said.append(
            f"The weights of epoch {best} are kept. {name.title} on the validation rows was best there: {value}."
        )
    if best == epochs[-1] and len(epochs) > 2:
        said.append("The best epoch is the last one: more epochs may still help.")
    val, train = _series(records, "val/loss"), _series(records, "train/loss")
    lowest = best_epoch(epochs, val, "min")
    if lowest is not None and lowest != epochs[-1]:
        at = list(epochs).index(lowest)
        if val[-1] > 1.1 * val[at] > 0 and train[-1] < train[at]:
            said.append(
                f"Validation loss rose after epoch {lowest} while training loss kept falling: from there on the model "
                "learned its training rows by heart. More data, augmentation or weight decay work against that."
            )
    if not all(math.isfinite(value) for value in val) and _any(val):
        said.append("A gap in a curve is an epoch whose number was not finite.")
    return said

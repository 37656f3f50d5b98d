"""Late labels: ``{"id": ..., "label": ...}`` joined to the predictions they belong to."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from lamplighter.core.errors import InputError
from lamplighter.core.registry import did_you_mean
from lamplighter.serving.errors import RequestError
from lamplighter.serving.model import ServedModel

Truth = str | float | dict[str, float] | list[str]
_KEYS = ["id", "label", "value", "values", "model"]


@dataclass(frozen=True)
class Feedback:
    """What turned out to be true for one prediction.

    Attributes:
        id: of the prediction.
        truth: the label, or the value (or values by target) of a regression.
        model: name, if the client said it.
    """

    id: str
    truth: Truth
    model: str | None = None


def parse(content: Any, models: dict[str, ServedModel]) -> list[Feedback]:
    """Check the body of ``POST /v1/feedback``: one object or a list of them. All are checked before one is joined.

    Raises:
        InputError: names the item and the field; a wrong label names the known ones.
    """
    items = content if isinstance(content, list) else [content]
    if not items:
        raise InputError("the list is empty")
    return [_parse_one(item, index, models) for index, item in enumerate(items)]


def join(feedback: list[Feedback], models: dict[str, ServedModel]) -> dict[str, Any]:
    """Hand each item to the model that made the prediction.

    Returns:
        ``results`` (one ``{"id", "status"}`` for each item, in order) and how many there are of each status.

    Raises:
        RequestError: 404, no model here has a monitor.
        MonitorError: 503, the store does not answer.
    """
    monitored = [model for model in models.values() if model.monitor is not None]
    if not monitored:
        raise RequestError("monitoring is off on this server, so there are no predictions to join labels to", 404)
    states = ["unknown"] * len(feedback)
    for model in monitored:
        mine = [i for i, item in enumerate(feedback) if states[i] == "unknown" and _accepts(model, item)]
        if mine and model.monitor is not None:
            joined = model.monitor.feedback_many([(feedback[i].id, feedback[i].truth) for i in mine])
            for i, state in zip(mine, joined):
                states[i] = state
    results = [{"id": item.id, "status": state} for item, state in zip(feedback, states)]
    return {"joined": 0, "updated": 0, "unknown": 0, **Counter(states), "results": results}


def _parse_one(item: Any, index: int, models: dict[str, ServedModel]) -> Feedback:
    if not isinstance(item, dict):
        raise InputError('must be an object: {"id": "...", "label": "..."}', row=index)
    for key in item:
        if key not in _KEYS:
            raise InputError(f"unknown key{did_you_mean(key, _KEYS)}", row=index, field=key)
    if not isinstance(item.get("id"), str) or not item["id"]:
        raise InputError("must be the id of a prediction", row=index, field="id")
    given = [key for key in ("label", "value", "values") if key in item]
    if len(given) != 1:
        raise InputError('give either "label" or "value" (or "values" for several targets)', row=index)
    name = item.get("model")
    if name is not None and name not in models:
        raise InputError(f"no such model; known: {', '.join(models)}", row=index, field="model")
    [field] = given
    feedback = Feedback(item["id"], _truth(item[field], field, index), name)
    if not any(_accepts(model, feedback) for model in models.values()):
        raise InputError(_known(feedback, models), row=index, field=field)
    return feedback


def _truth(value: Any, field: str, index: int) -> Truth:
    if field == "label":
        if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
            return value  # one label for each word
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise InputError("must be text", row=index, field=field)
        return str(value)  # labels like 0 to 9 are easily sent as numbers
    if isinstance(value, dict) and value and all(map(_is_number, value.values())):
        return {target: float(number) for target, number in value.items()}
    if not _is_number(value):
        raise InputError("must be a number, or an object with a number for each target", row=index, field=field)
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _accepts(model: ServedModel, item: Feedback) -> bool:
    """Whether the truth could be one of this model's."""
    if item.model is not None and item.model != model.name:
        return False
    try:
        model.bundle.kind.truth(item.truth)
    except InputError:
        return False
    return True


def _known(item: Feedback, models: dict[str, ServedModel]) -> str:
    """What would have been accepted, model by model."""
    asked = [model for model in models.values() if item.model in (None, model.name)]
    parts = [f"model '{model.name}' {model.bundle.kind.known()}" for model in asked]
    return f"{str(item.truth)[:60]!r} is not known here; " + "; ".join(parts)

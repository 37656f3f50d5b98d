"""An example request for each model, made from its signature, for the documentation."""

from __future__ import annotations

import json
import shlex
from typing import Any

from lamplighter.core.signature import Column
from lamplighter.serving.bodies import image_column, text_column
from lamplighter.serving.model import ServedModel


def row(model: ServedModel) -> Any:
    """One row a client could send. Numbers are medians of the reference data where the bundle has them."""
    medians = _medians(model)
    if model.manifest.output.kind == "tagging":
        return {model.signature.inputs[0].name: ["Ada", "Lovelace", "lived", "in", "London", "."]}
    return {column.name: _value(column, medians) for column in model.signature.inputs}


def curls(model: ServedModel, url: str) -> list[tuple[str, str]]:
    """(title, command) pairs that work when pasted into a shell.

    Args:
        model: which.
        url: of the server, without a closing slash.
    """
    predict = f"{url}/v1/models/{model.name}/predict"
    commands: list[tuple[str, str]] = []
    if image_column(model.signature) is not None:
        commands.append(("Predict an image file", f"curl -F file=@picture.png {shlex.quote(predict)}"))
        commands.append(
            (
                "Predict raw image bytes",
                f"curl -H 'Content-Type: image/png' --data-binary @picture.png {shlex.quote(predict)}",
            )
        )
    else:
        commands.append(("Predict rows", _post(predict, {"rows": [row(model)]})))
        if text_column(model.signature) is not None:
            commands.append(
                (
                    "Predict a text file",
                    f"curl -H 'Content-Type: text/plain' --data-binary @text.txt {shlex.quote(predict)}",
                )
            )
    if model.monitor is not None:
        commands.append(("Tell what turned out to be true", _post(f"{url}/v1/feedback", feedback(model))))
    return commands


def feedback(model: ServedModel) -> dict[str, Any]:
    """A body for ``POST /v1/feedback``."""
    return {"id": "<id of a prediction>", **model.bundle.kind.truth_example()}


def _post(url: str, content: Any) -> str:
    body = shlex.quote(json.dumps(content, ensure_ascii=False))
    return f"curl -H 'Content-Type: application/json' -d {body} {shlex.quote(url)}"


def _medians(model: ServedModel) -> dict[str, float]:
    """Name -> middle decile of each numeric column."""
    pairs = zip(model.manifest.features, model.bundle.reference.edges)
    return {
        feature.name: float(edges[len(edges) // 2])
        for feature, edges in pairs
        if feature.origin == "column" and feature.kind == "numeric" and len(edges)
    }


def _value(column: Column, medians: dict[str, float]) -> Any:
    if column.kind == "category":
        return column.categories[0] if column.categories else "a"
    if column.kind == "image":
        return "<base64 of an image file>"
    if column.kind == "array":
        return _zeros(column.shape)
    if column.kind == "numeric":
        return float(f"{medians.get(column.name, 1.0):.6g}")
    if column.kind == "text":
        return "A text as people write it."
    return {"boolean": True, "date": "2024-01-31"}.get(column.kind, "text")


def _zeros(shape: tuple[int, ...]) -> Any:
    return [_zeros(shape[1:]) for _ in range(min(shape[0], 64))] if shape else 0.0

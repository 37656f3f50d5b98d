"""Joins labels that come late to the predictions they belong to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamplighter.bundle.manifest import Manifest, Output
from lamplighter.bundle.runtime import kinds
from lamplighter.bundle.runtime.kinds.base import Truth
from lamplighter.core.errors import InputError
from lamplighter.monitor.store import Row, Store

CHUNK = 500  # ids in one query


def parse(pairs: Sequence[tuple[str, Any]], output: Output) -> list[tuple[str, Truth]]:
    """Check every label before any is stored.

    Raises:
        InputError: names the row when there are several.
    """
    kind = kinds.of(output)
    result: list[tuple[str, Truth]] = []
    for i, (id_, truth) in enumerate(pairs):
        try:
            result.append((id_, kind.truth(truth)))
        except InputError as error:
            raise InputError(error.reason, row=i if len(pairs) > 1 else None, field=error.field) from None
    return result


def find(store: Store, model: str, ids: Sequence[str]) -> dict[str, Row]:
    """The predictions that are kept."""
    found: dict[str, Row] = {}
    for start in range(0, len(ids), CHUNK):
        found |= store.find_predictions(model, ids[start : start + CHUNK])
    return found


def join(
    store: Store, manifest: Manifest, found: dict[str, Row], truths: Sequence[tuple[str, Truth]], now: float
) -> list[str]:
    """Store the labels of known predictions; of several labels for one prediction the last counts.

    Returns:
        ``joined``, ``updated`` or ``unknown`` for each.
    """
    rows = {id_: _row(manifest, found[id_], truth, now) for id_, truth in truths if id_ in found}
    before: set[str] = set()
    listed = list(rows.values())
    for start in range(0, len(listed), CHUNK):
        before |= store.add_labels(listed[start : start + CHUNK])
    return ["unknown" if id_ not in found else "updated" if id_ in before else "joined" for id_, _ in truths]


def _row(manifest: Manifest, prediction: Row, truth: Truth, now: float) -> Row:
    kind = kinds.of(manifest.output)
    single = isinstance(truth, dict) and len(kind.columns) == 1
    scores = np.frombuffer(prediction["scores"], dtype="<f4")
    return {
        "prediction_id": prediction["id"],
        "model": manifest.name,
        "version": prediction["version"],
        "label": truth if isinstance(truth, str) else None if single else json.dumps(truth),
        "value": next(iter(truth.values())) if single and isinstance(truth, dict) else None,
        "time": now,
        "predicted_at": prediction["time"],
        "error": kind.error(truth, prediction["label"], scores),
    }

"""From the network's first output to answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamplighter.bundle.manifest import Output
from lamplighter.core.errors import InputError
from lamplighter.data.preprocessing.pipeline import Tensors
from lamplighter.metrics.calibration import softmax

FIRST_OUTPUT = {"classification": "logits", "regression": "value"}
"""Kind of answer -> name of the network's first output."""


def scores_of(output: Output, outputs: Tensors) -> np.ndarray:
    """Calibrated probabilities (N, K), or predicted values (N, T) in their own units; float64.

    Args:
        output: how the first output becomes an answer.
        outputs: of the network.

    Raises:
        InputError: an output is not finite; names the row.

    >>> output = Output(kind="classification", labels=("cat", "dog"), temperature=2.0)
    >>> scores_of(output, {"logits": np.array([[2.0, 0.0]], np.float32)}).round(4)
    array([[0.7311, 0.2689]])
    """
    first = outputs[FIRST_OUTPUT[output.kind]]
    finite = np.isfinite(first).all(axis=1)
    if not finite.all():
        raise InputError(
            "the network's answer is not a finite number; the values lie far outside of what it was trained on",
            row=int(np.argmin(finite)),
        )
    return softmax(first, output.temperature) if output.kind == "classification" else first.astype(np.float64)


def answers(output: Output, outputs: Tensors) -> list[dict[str, Any]]:
    """One dict for each row.

    Returns:
        Classification: ``label``, ``confidence`` (the label's probability, which is below one half where a threshold
        decided for the less likely class) and ``probabilities`` by label. Regression: ``value``, or ``values`` by
        target when there are several.

    Raises:
        InputError: see `scores_of`.

    >>> output = Output(kind="classification", labels=("cat", "dog"))
    >>> answers(output, {"logits": np.array([[0.0, 0.0]], np.float32)})
    [{'label': 'cat', 'confidence': 0.5, 'probabilities': {'cat': 0.5, 'dog': 0.5}}]
    >>> answers(Output(kind="regression", targets=("price",)), {"value": np.array([[2.5]], np.float32)})
    [{'value': 2.5}]
    """
    scores = scores_of(output, outputs)
    rows: list[list[float]] = scores.tolist()
    if output.kind == "regression":
        if len(output.targets) == 1:
            return [{"value": row[0]} for row in rows]
        return [{"values": dict(zip(output.targets, row))} for row in rows]
    # The first of equal logits wins, here as everywhere: probabilities may tie where logits do not.
    decided = outputs["logits"].argmax(axis=1) if output.threshold is None else output.classes(scores)
    best: list[int] = decided.tolist()
    return [
        {"label": output.labels[k], "confidence": row[k], "probabilities": dict(zip(output.labels, row))}
        for k, row in zip(best, rows)
    ]

"""What the report shows of the answers themselves, by their kind: numbers and examples for one template each."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lamplighter.core.signature import Signature
from lamplighter.evaluate.classified import classified
from lamplighter.evaluate.decided import decided
from lamplighter.evaluate.regressed import regressed
from lamplighter.evaluate.sliced import sliced
from lamplighter.metrics import thresholds
from lamplighter.metrics.calibration import softmax

View = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """The rows of a split with a target, and what a model answered.

    Attributes:
        outputs: of the task, uncalibrated, first dimension rows: ``logits`` (N, K) before the temperature and ``y``
            (N,); or ``value`` and ``y``, (N, T); or what the kind of answer has.
        signature: of the data.
        raw: positions among the N rows -> those rows as a client would send them.
        recipe: resolved, plain data.
        temperature: fitted on validation rows; 1 for none.
        validation: outputs of the validation rows.
        threshold: of two classes, the probability from which the positive one is answered; None: the likelier one is.
        positive: index of the positive class.
        extra: ``positions`` of the N rows within the split, and what the task has to show besides its outputs
            (`lamplighter.tasks.base.Task.shown`).
    """

    outputs: dict[str, np.ndarray]
    signature: Signature
    raw: Callable[[np.ndarray], list[Any]]
    recipe: dict[str, Any] = field(default_factory=dict)
    temperature: float = 1.0
    validation: dict[str, np.ndarray] | None = None
    threshold: float | None = None
    positive: int = 1
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """Of the run."""
        return int(self.recipe.get("seed") or 0)


def of_classes(judged: Judged) -> View:
    """Confusions, threshold, worst errors, calibration, classes, slices."""
    outputs, signature, raw = judged.outputs, judged.signature, judged.raw
    calibrated = softmax(outputs["logits"], judged.temperature)
    positive, threshold = judged.positive, judged.threshold
    answers = None if threshold is None else thresholds.answers(calibrated, threshold, positive)
    view = classified(outputs, signature, raw, judged.temperature, answers)
    probabilities = {"probabilities": calibrated, "y": outputs["y"]} | ({} if answers is None else {"answers": answers})
    view["slices"] = sliced(probabilities, signature, raw, judged.seed)
    view["decision"] = None
    if len(signature.labels) == 2:
        validation = judged.validation
        tuning = (softmax(validation["logits"], judged.temperature), validation["y"]) if validation else None
        chosen = (judged.recipe.get("bundle") or {}).get("threshold")
        view["decision"] = decided(calibrated, outputs["y"], signature, positive, threshold, chosen, tuning)
    links = [("confusion", "Confusions")] + ([("decision", "Threshold")] if view["decision"] else [])
    links += [("worst", "Worst errors"), ("calibration", "Calibration"), ("classes", "Classes")]
    return {**view, "links": links, "template": "classification.html"}


def of_numbers(judged: Judged) -> View:
    """Predicted against true, residuals, worst rows, slices."""
    view = regressed(judged.outputs, judged.signature, judged.raw)
    view["slices"] = sliced(judged.outputs, judged.signature, judged.raw, judged.seed)
    links = [("truth", "Predicted and true"), ("worst", "Worst rows")]
    return {**view, "links": links, "template": "regression.html"}


VIEWS: dict[str, str] = {
    "classification": f"{__name__}:of_classes",
    "regression": f"{__name__}:of_numbers",
    "tagging": "lamplighter.evaluate.tagged:tagged",
    "language-model": "lamplighter.evaluate.written:written",
    "masked-lm": "lamplighter.evaluate.written:written",
    "seq2seq": "lamplighter.evaluate.written:written",
    "segmentation": "lamplighter.evaluate.segmented:segmented",
}
"""Kind of answer -> function from `Judged` to a view: ``links`` (anchor, words) of its sections, ``template`` that
shows them, ``lead`` (a sentence beside the main score; optional), ``slices`` (see `sliced`; optional), and whatever the
template needs."""


def view_of(kind: str, judged: Judged) -> View:
    """What there is to show; nothing when there are no rows, or for answers of one's own."""
    if not len(next(iter(judged.outputs.values()))) or kind not in VIEWS:
        return {"links": [], "template": None, "slices": None, "lead": None}
    module, _, name = VIEWS[kind].partition(":")
    view: View = getattr(importlib.import_module(module), name)(judged)
    return {"slices": None, "lead": None, **view}

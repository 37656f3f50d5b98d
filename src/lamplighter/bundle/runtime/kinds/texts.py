"""What the kinds share whose answers are texts: special ids, choosing tokens, feedback by the right text.

Legend: N rows, L tokens of a row, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from lamplighter.bundle.runtime.kinds.base import Answer, Kind, Truth
from lamplighter.bundle.runtime.kinds.showing import number, quoted
from lamplighter.core.errors import BundleError, InputError
from lamplighter.core.signature import Vocabulary
from lamplighter.data.preprocessing.pipeline import Tensors
from lamplighter.data.preprocessing.text import Tokenize
from lamplighter.data.tokenization.encoding import Encoder

_NUMBERS = 2**24  # numbers that the network computes on the way, at a time
TIE = 1e-3
"""Two tokens whose logits are nearer than this are a draw: rounding may choose either."""


class Written(dict[str, Any]):
    """An answer, and how near it came to another one.

    Attributes:
        margin: by how much the likeliest token led where it led least.
    """

    margin: float = np.inf


class TextKind(Kind):
    """Answers that are texts. ``confidence`` is the geometric mean of the probabilities of what was written."""

    first = "logits"
    many_passes = True
    vocabulary: Vocabulary

    def check(self) -> None:
        try:
            self.vocabulary = Vocabulary.model_validate(self.output.settings.get("vocabulary"))
        except ValidationError:
            raise BundleError(f"manifest.json: output: {self.output.kind} needs settings.vocabulary") from None

    @property
    def encoder(self) -> Encoder:
        """The bundle's tokenizer."""
        step = self.pipeline.steps[0] if self.pipeline is not None and self.pipeline.steps else None
        if not isinstance(step, Tokenize):
            raise BundleError(f"manifest.json: preprocessing: {self.output.kind} begins with the step tokenize")
        return step.encoder

    def check_outputs(self, outputs: Tensors, tensors: Tensors) -> None:
        logits, size = outputs["logits"], self.vocabulary.size
        if logits.ndim != 2 or logits.shape[1] != size:
            raise BundleError(f"the network's output 'logits' has shape {logits.shape} for {size} tokens")
        log_p, ids = outputs.get("log_probabilities"), tensors["input_ids"]
        if log_p is not None and log_p.shape != ids.shape:
            raise BundleError(f"the network's output 'log_probabilities' has shape {log_p.shape} for ids {ids.shape}")

    def parts(self, tensors: Tensors, longest: int) -> Iterator[Tensors]:
        """So many rows at a time that logits of all positions fit into memory."""
        rows = len(tensors["input_ids"])
        size = max(1, _NUMBERS // (longest * self.vocabulary.size))
        for start in range(0, max(rows, 1), size):
            yield {name: array[start : start + size] for name, array in tensors.items()}

    def positive(self, name: str) -> int:
        """A whole number above 0 out of the settings."""
        value = self.output.settings.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise BundleError(f"manifest.json: output: {self.output.kind} needs settings.{name}, a whole number")
        return value

    def never(self, but: int | None = None) -> list[int]:
        """Ids that are never written."""
        v = self.vocabulary
        return [i for i in {v.pad, v.unk, v.bos, v.eos, v.cls, v.sep, v.mask} if i is not None and i != but]

    def decode(self, ids: np.ndarray) -> str:
        """The text of ids; -1 is nothing."""
        return self.encoder.decode(ids[ids >= 0])

    def difference(self, ours: Answer, theirs: Answer) -> str | None:
        if min(getattr(ours, "margin", np.inf), getattr(theirs, "margin", np.inf)) < TIE:
            return None
        for name, value in ours.items():
            other = theirs[name]
            close = isinstance(value, float) and abs(value - other) <= 1e-3 * max(1.0, abs(other))
            if value != other and not close and isinstance(value, (str, float, int)):
                return f"{name} {quoted(value)} where torch says {quoted(other)}"
        return None

    def entries(self, scores: np.ndarray, answers: Sequence[Answer] | None) -> list[dict[str, Any]]:
        confidence = scores[:, list(self.columns).index("confidence")]
        labels = [None] * len(scores) if answers is None else [self.label(answer) for answer in answers]
        return [
            {"label": label, "value": None, "confidence": number(value)} for label, value in zip(labels, confidence)
        ]

    def label(self, answer: Answer) -> str:
        """The part of an answer that can turn out to be right."""
        raise NotImplementedError

    def truth(self, given: Any) -> Truth:
        if isinstance(given, (list, tuple)) and all(isinstance(part, str) for part in given) and given:
            given = " ".join(given)
        if not isinstance(given, str):
            raise InputError(f"give a text, not {quoted(given)}", field="label")
        return given.strip()

    def error(self, truth: Truth, label: str | None, scores: np.ndarray) -> float:
        return float(label is None or label.strip() != truth)

    def fields(self, probabilities: bool) -> list[str]:
        raise NotImplementedError

    def flat(self, answer: Answer) -> Answer:
        return {name: answer[name] for name in self.fields(False)}


def choose(logits_NV: np.ndarray, never: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The likeliest token of each row, its log-probability, and by how much its logit leads; (N,) each.

    Args:
        logits_NV: of the network.
        never: ids that are not chosen; probabilities are those among the others.

    >>> token, log_p, lead = choose(np.array([[0.0, 3.0, 1.0, 9.0]]), never=[3])
    >>> token, np.exp(log_p).round(3), lead
    (array([1]), array([0.844]), array([2.]))
    """
    wide = logits_NV.astype(np.float64)
    wide[:, list(never)] = -np.inf
    token = wide.argmax(axis=1)
    best = wide.max(axis=1)
    log_p = -np.log(np.exp(wide - best[:, None]).sum(axis=1))
    lead = best - (np.partition(wide, -2, axis=1)[:, -2] if wide.shape[1] > 1 else -np.inf)
    return token, log_p, lead


def padded(rows: Sequence[np.ndarray], pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids (N, L) filled up on the right, and which are real."""
    width = max(len(row) for row in rows)
    ids = np.full((len(rows), width), pad, np.int64)
    mask = np.zeros((len(rows), width), bool)
    for place, row in enumerate(rows):
        ids[place, : len(row)], mask[place, : len(row)] = row, True
    return ids, mask

"""Tagging: logits of every token become a tag for each word, and the tags become entities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from lamplighter.bundle.runtime.chain import Chain, Decoder
from lamplighter.bundle.runtime.kinds.base import Answer, Kind, Truth
from lamplighter.bundle.runtime.kinds.showing import quoted
from lamplighter.core.errors import BundleError, DataError, InputError
from lamplighter.data.preprocessing.pipeline import Tensors
from lamplighter.metrics import tags
from lamplighter.metrics.calibration import softmax

NEAR = 1e-4
"""Words whose two likeliest tags are this near may be answered either way: the two networks differ by rounding."""


class Tagging(Kind):
    """The likeliest tag of each word, read at its first token; with a CRF (``settings: {crf: ...}``) the likeliest
    sequence of tags, see `lamplighter.bundle.runtime.chain`.

    Answers: ``words``; ``tags`` and ``confidences``, one for each word; ``entities``, each with ``type``, ``start`` and
    ``end`` (words, the end exclusive), ``text``, and ``confidence``, the smallest of its words'; none where tags name
    no entities. The monitor keeps the share of words that got each tag.

    >>> from lamplighter.bundle.manifest import Output
    >>> kind = Tagging(Output(kind="tagging", labels=("O", "B-PER")))
    >>> tensors = {"word_starts": np.array([[False, True, False]]), "words": np.array([None])}
    >>> tensors["words"][0] = ["Ada"]
    >>> kind.answers({"logits": np.array([[[9, 0], [0, 9], [9, 0]]], np.float32)}, tensors)[0]["tags"]
    ['B-PER']
    """

    first = "logits"
    headline = ("entity_f1", "entity F1", True)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.output.labels

    def check(self) -> None:
        super().check()
        self._decoder: Decoder | None = None
        unknown = set(self.output.settings) - {"crf"}
        if unknown:
            raise BundleError(f"manifest.json: output: settings: tagging knows no '{unknown.pop()}'")
        if "crf" not in self.output.settings:
            return
        try:
            chain = Chain.model_validate(self.output.settings["crf"])
        except ValidationError as error:
            raise BundleError(f"manifest.json: output: settings: crf: {error.errors()[0]['msg']}") from None
        if len(chain.start) != len(self.columns):
            raise BundleError(f"manifest.json: output: crf of {len(chain.start)} tags for {len(self.columns)} labels")
        self._decoder = Decoder(chain)

    def check_outputs(self, outputs: Tensors, tensors: Tensors) -> None:
        logits = outputs["logits"]
        if logits.ndim != 3 or logits.shape[2] != len(self.columns):
            raise BundleError(f"the network's output 'logits' has shape {logits.shape} for {len(self.columns)} labels")
        if "word_starts" not in tensors or tensors["word_starts"].shape != logits.shape[:2]:
            raise BundleError("preprocessing must say where words start: tokenize with words: true")

    def scores(self, outputs: Tensors, tensors: Tensors) -> np.ndarray:
        if "shares" in outputs:
            return outputs["shares"]
        shares = np.zeros((len(outputs["logits"]), len(self.columns)))
        for row, (decided, _) in enumerate(self._decided(outputs, tensors)):
            shares[row] = np.bincount(decided, minlength=len(self.columns)) / len(decided)
        return shares

    def answers(self, outputs: Tensors, tensors: Tensors) -> list[Answer]:
        names = self.output.labels
        found = []
        for words, (decided, confidences) in zip(tensors["words"], self._decided(outputs, tensors)):
            own = [names[code] for code in decided.tolist()]
            entities = [
                {
                    "type": entity.type,
                    "start": entity.start,
                    "end": entity.end,
                    "text": " ".join(words[entity.start : entity.end]),
                    "confidence": min(confidences[entity.start : entity.end]),
                }
                for entity in _entities(own)
            ]
            found.append({"words": list(words), "tags": own, "confidences": confidences, "entities": entities})
        return found

    def kept(self, outputs: Tensors, tensors: Tensors) -> Tensors:
        rest = {name: output for name, output in outputs.items() if name != "logits"}
        return {"shares": self.scores(outputs, tensors), **rest}

    def difference(self, ours: Answer, theirs: Answer) -> str | None:
        pairs = zip(ours["tags"], theirs["tags"], ours["confidences"], theirs["confidences"])
        for word, (own, other, first, second) in enumerate(pairs):
            tie = abs(first - second) <= NEAR and max(first, second) <= 0.5 + NEAR
            if own != other and not tie:
                return f"tag '{own}' of word {word} where torch says '{other}'"
        return None

    def entries(self, scores: np.ndarray, answers: Sequence[Answer] | None) -> list[dict[str, Any]]:
        if answers is None:
            return [{"label": None, "value": None, "confidence": None} for _ in scores]
        return [
            {"label": " ".join(answer["tags"]), "value": None, "confidence": float(np.mean(answer["confidences"]))}
            for answer in answers
        ]

    def truth(self, given: Any) -> Truth:
        parts = given.split() if isinstance(given, str) else given
        if not isinstance(parts, (list, tuple)) or not parts:
            raise InputError(f"expected a list with the tag of each word, not {quoted(given)}", field="label")
        unknown = next((tag for tag in parts if tag not in self.output.labels), None)
        if unknown is not None:
            raise InputError(f"unknown tag {quoted(unknown)}; known tags: {self._labels()}", field="label")
        return " ".join(parts)

    def error(self, truth: Truth, label: str | None, scores: np.ndarray) -> float:
        """0 when every word's tag is right, else 1.

        Raises:
            InputError: another number of tags than the sentence has words.
        """
        given, answered = (str(tags_).split() for tags_ in (truth, label or truth))
        if len(given) != len(answered):
            raise InputError(f"{len(given)} tags for a sentence of {len(answered)} words", field="label")
        return float(given != answered)

    def known(self) -> str:
        return f"knows the tags {self._labels()}"

    def truth_example(self) -> dict[str, Any]:
        return {"label": list(self.output.labels[:2])}

    def fields(self, probabilities: bool) -> list[str]:
        return ["tags", "entities", "confidence"]

    def flat(self, answer: Answer) -> Answer:
        named = "; ".join(f"{entity['text']} ({entity['type']})" for entity in answer["entities"])
        return {
            "tags": " ".join(answer["tags"]),
            "entities": named,
            "confidence": min(answer["confidences"], default=1.0),
        }

    def _decided(self, outputs: Tensors, tensors: Tensors) -> list[tuple[np.ndarray, list[float]]]:
        """Tags and confidences of the words of each row."""
        logits, starts = outputs["logits"], tensors["word_starts"]
        self._finite(np.where(starts[..., None], logits, 0))
        found = []
        for own, begins in zip(logits, starts):
            x = own[begins]
            decided = x.argmax(axis=1) if self._decoder is None else self._decoder.best(x)
            shares = softmax(x) if self._decoder is None else self._decoder.marginals(x)
            found.append((decided, shares[np.arange(len(x)), decided].tolist()))
        return found

    def _labels(self) -> str:
        return ", ".join(self.output.labels[:20]) + (", ..." if len(self.output.labels) > 20 else "")


def _entities(own: list[str]) -> list[tags.Entity]:
    """None for tags that name no entities, such as parts of speech."""
    try:
        return tags.entities(own)
    except DataError:
        return []

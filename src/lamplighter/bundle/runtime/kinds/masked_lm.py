"""Masked language models: which tokens fit into the hidden places of a text.

Legend: N rows, L tokens of a row, M hidden places of a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lamplighter.bundle.runtime.kinds.base import Answer, Network
from lamplighter.bundle.runtime.kinds.texts import TextKind, Written, choose
from lamplighter.core.errors import BundleError
from lamplighter.data.preprocessing.pipeline import Tensors

SHOWN = 5
"""Likeliest tokens that are named for each hidden place."""


class MaskedLM(TextKind):
    """Answers: ``text`` with the likeliest tokens filled in, ``fills``, for each hidden place the five likeliest tokens
    with their probabilities, and ``confidence``.

    Hidden places are filled from the left, one pass each: what is filled in helps to find the next. In a text that
    hides nothing, the network is asked for the token in the middle, so that the monitor has a confidence of it.
    """

    headline = ("accuracy", "accuracy at hidden tokens", True)

    @property
    def columns(self) -> tuple[str, ...]:
        return ("confidence", "log-likelihood")

    def check(self) -> None:
        super().check()
        if self.vocabulary.mask is None:
            raise BundleError("manifest.json: output: masked-lm needs settings.vocabulary.mask")

    def run(self, network: Network, tensors: Tensors) -> Tensors:
        """``places`` (N, M), ``fills`` and their log-probabilities (N, M, 5), -1 where there is no place."""
        longest = tensors["input_ids"].shape[1]
        found = [self._filled(network, part) for part in self.parts(tensors, max(longest, 1))]
        width = max(part["places"].shape[1] for part in found)
        for part in found:
            for name in ("places", "fills", "fill_log_p"):
                spread = [(0, 0), (0, width - part[name].shape[1]), *[(0, 0)] * (part[name].ndim - 2)]
                part[name] = np.pad(part[name], spread, constant_values=-1)
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}

    def scores(self, outputs: Tensors, tensors: Tensors) -> np.ndarray:
        confidence = np.exp(outputs["best_log_p"] / outputs["asked"])
        found = np.stack([confidence, outputs["log_likelihood"] / np.maximum(outputs["visible"], 1)], axis=1)
        self._finite(found)
        return found.astype(np.float64)

    def answers(self, outputs: Tensors, tensors: Tensors) -> list[Answer]:
        answers: list[Answer] = []
        for row, (confidence, _) in enumerate(self.scores(outputs, tensors).tolist()):
            ids = tensors["input_ids"][row][tensors["attention_mask"][row]].copy()
            places = outputs["places"][row][outputs["places"][row] >= 0] if self._hides(ids) else np.empty(0, int)
            fills, log_p = outputs["fills"][row], outputs["fill_log_p"][row]
            ids[places] = fills[: len(places), 0]
            answer = Written(
                text=self.encoder.decode(ids),
                fills=[
                    [
                        {"token": self.decode(np.array([id_])).strip(), "probability": float(np.exp(value))}
                        for id_, value in zip(fills[number], log_p[number])
                        if id_ >= 0
                    ]
                    for number in range(len(places))
                ],
                confidence=confidence,
            )
            answer.margin = float(outputs["margin"][row])
            answers.append(answer)
        return answers

    def label(self, answer: Answer) -> str:
        return " ".join(place[0]["token"] for place in answer["fills"])

    def known(self) -> str:
        return 'fills in hidden tokens: send those that would have been right, with spaces between them, as "label"'

    def truth_example(self) -> dict[str, Any]:
        return {"label": "the tokens that would have been right"}

    def fields(self, probabilities: bool) -> list[str]:
        return ["text", "fills", "confidence"]

    def flat(self, answer: Answer) -> Answer:
        return {**super().flat(answer), "fills": self.label(answer)}

    def _hides(self, ids: np.ndarray) -> bool:
        return bool((ids == self.vocabulary.mask).any())

    def _filled(self, network: Network, tensors: Tensors) -> Tensors:
        ids, mask = tensors["input_ids"].copy(), tensors["attention_mask"]
        assert self.vocabulary.mask is not None
        hidden = (ids == self.vocabulary.mask) & mask
        for row in np.flatnonzero(~hidden.any(axis=1)):
            real = np.flatnonzero(mask[row])
            hidden[row, real[len(real) // 2]] = True
        ids[hidden] = self.vocabulary.mask
        width, count = int(hidden.sum(axis=1).max(initial=1)), len(ids)
        visible = mask & ~hidden
        found: Tensors = {
            "places": np.full((count, width), -1, np.int64),
            "fills": np.full((count, width, SHOWN), -1, np.int64),
            "fill_log_p": np.full((count, width, SHOWN), -1.0),
            "best_log_p": np.zeros(count),
            "asked": hidden.sum(axis=1),
            "margin": np.full(count, np.inf),
            "visible": visible.sum(axis=1),
        }
        running = np.arange(count)
        for number in range(width):
            outputs = network({"input_ids": ids[running], "attention_mask": mask[running]})
            if number == 0:
                likely = outputs["log_probabilities"].astype(np.float64)
                found["log_likelihood"] = np.where(visible, likely, 0.0).sum(axis=1)
                if "embedding" in outputs:
                    found["embedding"] = outputs["embedding"]
            self._fill(found, number, running, outputs["logits"], ids, hidden)
            running = running[hidden[running].any(axis=1)]
        return found

    def _fill(
        self, found: Tensors, number: int, running: np.ndarray, logits: np.ndarray, ids: np.ndarray, hidden: np.ndarray
    ) -> None:
        """The first hidden place of each row gets its likeliest token and is hidden no more."""
        never = self.never()
        token, log_p, lead = choose(logits, never)
        wide = logits.astype(np.float64)
        wide[:, never] = -np.inf
        order = np.argsort(-wide, axis=1, kind="stable")[:, :SHOWN]
        place = hidden[running].argmax(axis=1)
        shown = order.shape[1]
        top = np.take_along_axis(wide, order, axis=1)
        found["places"][running, number] = place
        found["fills"][running, number, :shown] = np.where(np.isfinite(top), order, -1)
        found["fill_log_p"][running, number, :shown] = np.where(
            np.isfinite(top), top - top[:, :1] + log_p[:, None], -1.0
        )
        found["best_log_p"][running] += log_p
        found["margin"][running] = np.minimum(found["margin"][running], lead)
        ids[running, place] = token
        hidden[running, place] = False

"""Encoder-decoder models: another text, written from a text.

Legend: N rows, T tokens written at most.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lamplighter.bundle.runtime.kinds.base import Answer, Network
from lamplighter.bundle.runtime.kinds.texts import TextKind, Written, choose
from lamplighter.core.errors import BundleError
from lamplighter.data.preprocessing.pipeline import Tensors


class Seq2Seq(TextKind):
    """Answers: ``text``, its number of ``tokens``, and ``confidence``.

    Always the likeliest token is written (greedy), one pass of the network each, until the end token or
    ``max_new_tokens``.
    """

    headline = ("exact_match", "exact match", True)

    @property
    def columns(self) -> tuple[str, ...]:
        return ("confidence", "tokens written")

    def check(self) -> None:
        super().check()
        self.limit = self.positive("max_new_tokens")
        if self.vocabulary.bos is None or self.vocabulary.eos is None:
            raise BundleError("manifest.json: output: seq2seq needs settings.vocabulary.bos and eos")

    def run(self, network: Network, tensors: Tensors) -> Tensors:
        """``written`` (N, T) ids with -1 behind, the sum of their log-probabilities, and ``embedding``."""
        found = [self._written(network, part) for part in self.parts(tensors, 1)]
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}

    def scores(self, outputs: Tensors, tensors: Tensors) -> np.ndarray:
        confidence = np.exp(outputs["written_log_p"] / np.maximum(outputs["choices"], 1))
        found = np.stack([confidence, (outputs["written"] >= 0).sum(axis=1)], axis=1).astype(np.float64)
        self._finite(found)
        return found

    def answers(self, outputs: Tensors, tensors: Tensors) -> list[Answer]:
        answers: list[Answer] = []
        for row, (confidence, tokens) in enumerate(self.scores(outputs, tensors).tolist()):
            text = self.decode(outputs["written"][row])
            answer = Written(text=text, tokens=int(tokens), confidence=confidence)
            answer.margin = float(outputs["margin"][row])
            answers.append(answer)
        return answers

    def label(self, answer: Answer) -> str:
        return str(answer["text"])

    def known(self) -> str:
        return 'writes a text: send the one that would have been right as "label"'

    def truth_example(self) -> dict[str, Any]:
        return {"label": "the text that would have been right"}

    def fields(self, probabilities: bool) -> list[str]:
        return ["text", "tokens", "confidence"]

    def _written(self, network: Network, tensors: Tensors) -> Tensors:
        rows = len(tensors["input_ids"])
        found: Tensors = {
            "written": np.full((rows, self.limit), -1, np.int64),
            "written_log_p": np.zeros(rows),
            "choices": np.zeros(rows, np.int64),
            "margin": np.full(rows, np.inf),
        }
        running = np.arange(rows)
        begun = tensors["decoder_input_ids"]
        never = [id_ for id_ in (self.vocabulary.pad, self.vocabulary.bos) if id_ != self.vocabulary.eos]
        for place in range(self.limit):
            given = {name: tensors[name][running] for name in ("input_ids", "attention_mask")}
            outputs = network({**given, "decoder_input_ids": begun})
            if place == 0:
                found["embedding"] = outputs["embedding"]
            token, log_p, lead = choose(outputs["logits"], [id_ for id_ in never if id_ is not None])
            found["written_log_p"][running] += log_p
            found["choices"][running] += 1
            found["margin"][running] = np.minimum(found["margin"][running], lead)
            goes_on = token != self.vocabulary.eos
            running, token = running[goes_on], token[goes_on]
            found["written"][running, place] = token
            if not len(running):
                break
            begun = np.concatenate([begun[goes_on], token[:, None]], axis=1)
        return found

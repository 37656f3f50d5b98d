"""Language models: how probable a text is, and what probably follows it, token by token.

Legend: N rows, L tokens of a row, T tokens written at most.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamplighter.bundle.runtime.kinds.base import Answer, Network
from lamplighter.bundle.runtime.kinds.texts import TextKind, Written, choose, padded
from lamplighter.data.preprocessing.pipeline import Tensors


class LanguageModel(TextKind):
    """Answers: ``text`` as it was read, ``continuation``, its number of ``tokens``, ``perplexity`` of the text, and
    ``confidence``.

    Always the likeliest token is written (greedy), one pass of the network each, until the end token or
    ``max_new_tokens``. Of a text longer than the network reads, it sees the first token and the last ones.
    """

    headline = ("perplexity", "perplexity", False)

    @property
    def columns(self) -> tuple[str, ...]:
        return ("log-likelihood", "confidence", "tokens written")

    def check(self) -> None:
        super().check()
        self.limit, self.longest = self.positive("max_new_tokens"), self.positive("longest")

    def run(self, network: Network, tensors: Tensors) -> Tensors:
        """``written`` (N, T) ids with -1 behind, sums of log-probabilities, and the first pass's ``embedding``."""
        found = [self._written(network, part) for part in self.parts(tensors, self.longest)]
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}

    def scores(self, outputs: Tensors, tensors: Tensors) -> np.ndarray:
        likely = outputs["log_likelihood"] / np.maximum(outputs["foretold"], 1)
        confidence = np.exp(outputs["written_log_p"] / np.maximum(outputs["choices"], 1))
        found = np.stack([likely, confidence, (outputs["written"] >= 0).sum(axis=1)], axis=1).astype(np.float64)
        self._finite(found)
        return found

    def answers(self, outputs: Tensors, tensors: Tensors) -> list[Answer]:
        answers: list[Answer] = []
        for row, (likely, confidence, tokens) in enumerate(self.scores(outputs, tensors).tolist()):
            ids = tensors["input_ids"][row][tensors["attention_mask"][row]]
            answer = Written(
                text=self.encoder.decode(ids),
                continuation=self.decode(outputs["written"][row]),
                tokens=int(tokens),
                perplexity=math.exp(min(-likely, 700.0)) if outputs["foretold"][row] else None,
                confidence=confidence,
            )
            answer.margin = float(outputs["margin"][row])
            answers.append(answer)
        return answers

    def label(self, answer: Answer) -> str:
        return str(answer["continuation"])

    def known(self) -> str:
        return 'writes on: send the continuation that would have been right as "label"'

    def truth_example(self) -> dict[str, Any]:
        return {"label": "the continuation that would have been right"}

    def fields(self, probabilities: bool) -> list[str]:
        return ["text", "continuation", "tokens", "perplexity", "confidence"]

    def _written(self, network: Network, tensors: Tensors) -> Tensors:
        ids, mask = tensors["input_ids"], tensors["attention_mask"]
        rows = [row[real] for row, real in zip(ids, mask)]
        first = network({"input_ids": ids, "attention_mask": mask})
        counted = mask.copy()
        counted[np.arange(len(mask)), mask.argmax(axis=1)] = False  # nothing foretells the first token
        found: Tensors = {
            "written": np.full((len(rows), self.limit), -1, np.int64),
            "written_log_p": np.zeros(len(rows)),
            "choices": np.zeros(len(rows), np.int64),
            "margin": np.full(len(rows), np.inf),
            "log_likelihood": np.where(counted, first["log_probabilities"].astype(np.float64), 0.0).sum(axis=1),
            "foretold": counted.sum(axis=1),
        }
        if "embedding" in first:
            found["embedding"] = first["embedding"]
        running, logits = np.arange(len(rows)), first["logits"]
        for place in range(self.limit):
            token, log_p, lead = choose(logits, self.never(but=self.vocabulary.eos))
            found["written_log_p"][running] += log_p
            found["choices"][running] += 1
            found["margin"][running] = np.minimum(found["margin"][running], lead)
            goes_on = np.ones(len(token), bool) if self.vocabulary.eos is None else token != self.vocabulary.eos
            running, token = running[goes_on], token[goes_on]
            found["written"][running, place] = token
            if not len(running) or place + 1 == self.limit:
                break
            for row, id_ in zip(running, token):
                rows[row] = self._window(np.append(rows[row], id_))
            seen, real = padded([rows[row] for row in running], self.vocabulary.pad)
            logits = network({"input_ids": seen, "attention_mask": real})["logits"]
        return found

    def _window(self, ids: np.ndarray) -> np.ndarray:
        """What the network sees of a text that has become too long."""
        return ids if len(ids) <= self.longest else np.concatenate([ids[:1], ids[len(ids) - self.longest + 1 :]])

"""The next token of a text, from those before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.errors import DataError
from lamplighter.core.export_spec import AnswerKind, ExportSpec
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Signature
from lamplighter.data.source import Batch, Rows, Source
from lamplighter.data.tokenization.pieces import token_bytes
from lamplighter.losses.cross_entropy import CrossEntropy
from lamplighter.metrics import language
from lamplighter.metrics.score import Score
from lamplighter.nn.language import NextToken, shows_states
from lamplighter.tasks.base import Loss, Task, for_export
from lamplighter.tasks.counted import BigramCounts, UnigramCounts, count_pairs, count_tokens
from lamplighter.tasks.looking import looks_ahead
from lamplighter.tasks.samples import continuations
from lamplighter.tasks.token_sums import check_logits, joined, row_sums


class LanguageModel(Task):
    """Trains a network to foretell each token of a text from the tokens before it.

    Batches hold ``input_ids`` and ``attention_mask`` (N, L), and ``y`` (N, L), the token that follows each, -1 where
    there is none. The loss is the mean over tokens. The report compares with two models that only count the training
    split: how often each token is there (unigram), and which follows which (bigram).

    Args:
        model: maps ids and mask to logits (N, L, V), without looking ahead.
        signature: of the data; its only target are tokens.
        tokenizer: of the data, for bytes of tokens and for samples; None: neither is shown.
        rows: name of a split -> its rows, for the counts.
        seed: of the intervals of `scores` and of samples.
        label_smoothing: share of the target's probability spread over all tokens.
        max_new_tokens: how many tokens the bundle writes behind a text, at most.
        baselines: whether to compare with unigram and bigram counts.

    Raises:
        DataError: the data has no tokens as target, or the model looks ahead.
    """

    monitor = ("loss", "min")
    kind: AnswerKind | None = "language-model"
    token_bytes_V: Tensor | None

    def __init__(
        self,
        model: Annotated[nn.Module, FromData],
        signature: Annotated[Signature, FromData],
        tokenizer: Annotated[Any, FromData] = None,
        rows: Annotated[Callable[[str], Rows] | None, FromData] = None,
        seed: Annotated[int, FromData] = 0,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        max_new_tokens: Annotated[int, Field(gt=0)] = 32,
        baselines: bool = True,
    ) -> None:
        super().__init__()
        self.vocab_size = check_tokens_are_the_target(signature, "language-model")
        self.signature = signature
        self.model = model
        if looks_ahead(model, self.vocab_size):
            raise DataError(
                f"task language-model: {type(model).__name__} sees the token that it is to foretell; take a model that "
                "looks back only (gpt2, llama, lstm, tcn), or task: {name: masked-lm}"
            )
        self.tokenizer, self.rows, self.seed = tokenizer, rows, seed
        self.label_smoothing = label_smoothing
        self.max_new_tokens, self.baselines = max_new_tokens, baselines
        self.criterion = CrossEntropy(label_smoothing)
        self.register_buffer("token_bytes_V", bytes_of(tokenizer), persistent=False)

    def step(self, batch: Batch) -> Iterator[Loss]:
        logits = self._logits(batch["input_ids"], batch["attention_mask"])
        value, weight = self.criterion(logits.flatten(0, 1), batch["y"].flatten())
        yield Loss(value, weight)

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        """Sums of each row that has a token to foretell, see `lamplighter.metrics.language`."""
        given = (batch["y"] >= 0).any(dim=1)
        ids, mask, y = (batch[name][given] for name in ("input_ids", "attention_mask", "y"))
        return joined(
            len(ids),
            ids.shape[1] * self.vocab_size,
            lambda part: row_sums(self._logits(ids[part], mask[part]), y[part], self.token_bytes_V),
        )

    def metrics(self, outputs: dict[str, np.ndarray]) -> dict[str, float]:
        return language.metrics(outputs)

    def scores(self, outputs: dict[str, np.ndarray]) -> dict[str, Score]:
        return language.scores(outputs, self.seed)

    def compared(self) -> dict[str, Task]:
        if self.rows is None or not self.baselines:
            return {}
        train = self.rows("train")
        counts = count_tokens(train, self.vocab_size, lambda batch: batch["y"][batch["y"] >= 0])
        counted = {
            "unigram counts": UnigramCounts(counts),
            "bigram counts": BigramCounts(*count_pairs(train, self.vocab_size), counts),
        }
        return {
            name: LanguageModel(model, self.signature, self.tokenizer, seed=self.seed)
            for name, model in counted.items()
        }

    def shown(self, source: Source) -> dict[str, Any]:
        """``samples``: beginnings of test rows, what the model writes behind them, and what stands there."""
        return {"samples": continuations(self.model, source, self.tokenizer, self.seed)} if self.tokenizer else {}

    def export(self) -> ExportSpec:
        outputs = ("logits", "log_probabilities", *(("embedding",) if shows_states(self.model) else ()))
        settings = {"max_new_tokens": self.max_new_tokens, "vocabulary": _plain(self.signature)}
        settings["longest"] = self.signature.tensors[0].longest
        return ExportSpec(for_export(NextToken(self.model)), "language-model", outputs, settings)

    def _logits(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids, attention_mask)
        return check_logits(logits, input_ids, self.vocab_size, "language-model")


def check_tokens_are_the_target(signature: Signature, task: str) -> int:
    """Size of the vocabulary.

    Raises:
        DataError: the data has another target.
    """
    if signature.vocabulary is None or [target.kind for target in signature.targets] != ["tokens"]:
        names = ", ".join(f"'{target.name}' ({target.kind})" for target in signature.targets)
        raise DataError(
            f"task {task} learns from texts alone, this data has the target {names}; use data: {{name: text-files}}"
        )
    return signature.vocabulary.size


def bytes_of(tokenizer: Any) -> Tensor | None:
    """(V,) bytes of each token, None where they are not known."""
    found = token_bytes(tokenizer.tokenizer) if tokenizer is not None else None
    return None if found is None else torch.from_numpy(found)


def _plain(signature: Signature) -> dict[str, Any]:
    assert signature.vocabulary is not None
    return signature.vocabulary.model_dump(mode="json")

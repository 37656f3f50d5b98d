"""Another text, written from a text: translation, normalisation, reversal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.core.errors import DataError, TrainingError
from lamplighter.core.export_spec import AnswerKind, ExportSpec
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Signature
from lamplighter.data.source import Batch, Source
from lamplighter.losses.cross_entropy import CrossEntropy
from lamplighter.metrics import bootstrap, language
from lamplighter.metrics.base import Takes
from lamplighter.metrics.of_texts import BLEU, ExactMatch
from lamplighter.metrics.score import Score
from lamplighter.models.generation.beam import beam_search
from lamplighter.models.generation.seq2seq import greedy
from lamplighter.nn.language import NextWritten
from lamplighter.tasks.base import Loss, Task, for_export
from lamplighter.tasks.token_sums import check_logits, joined, row_sums

_SAMPLES = 5


class Seq2SeqTask(Task):
    """Trains an encoder-decoder network to write the target text, token by token.

    Batches hold ``input_ids`` and ``attention_mask`` (N, L), and ``y`` (N, T), the target's tokens with the end token,
    -1 behind. Training shows the decoder the true tokens before each place (teacher forcing); the loss is the mean over
    tokens. Evaluation lets the model write by itself, and compares whole texts: ``exact_match`` and ``bleu``;
    ``accuracy``, of tokens, and ``perplexity`` are those of teacher forcing.

    Args:
        model: ``seq2seq`` or ``transformer``.
        signature: of the data; its target is a text.
        tokenizer: of the data, which makes texts of ids; None: texts are compared as ids.
        seed: of the intervals of `scores`.
        label_smoothing: share of the target's probability spread over all tokens.
        num_beams: beginnings that evaluation follows at once; 1: always the likeliest next token, as the bundle does.
        max_new_tokens: tokens written at most; null: as the longest target of the data, and half as many more.

    Raises:
        DataError: the target is no text, or the model is no encoder-decoder.
    """

    monitor = ("exact_match", "max")
    kind: AnswerKind | None = "seq2seq"

    def __init__(
        self,
        model: Annotated[nn.Module, FromData],
        signature: Annotated[Signature, FromData],
        tokenizer: Annotated[Any, FromData] = None,
        seed: Annotated[int, FromData] = 0,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        num_beams: Annotated[int, Field(gt=0)] = 1,
        max_new_tokens: Annotated[int, Field(gt=0)] | None = None,
    ) -> None:
        super().__init__()
        vocabulary = signature.vocabulary
        if vocabulary is None or [target.kind for target in signature.targets] != ["text"]:
            names = ", ".join(f"'{target.name}' ({target.kind})" for target in signature.targets)
            raise DataError(
                f"task seq2seq writes texts, this data has the target {names}; use data: {{name: text-pairs}}"
            )
        if vocabulary.bos is None or vocabulary.eos is None:
            raise DataError("task seq2seq needs tokens that begin and end a text, which this tokenizer does not have")
        if not all(callable(getattr(model, part, None)) for part in ("encode", "decode", "start", "step")):
            raise DataError("task seq2seq needs a model with an encoder and a decoder: seq2seq or transformer")
        self.signature, self.model, self.tokenizer = signature, model, tokenizer
        self.vocabulary, self.seed, self.num_beams = vocabulary, seed, num_beams
        longest = signature.tensors[-1].longest or 128
        self.limit = min(max_new_tokens or longest, longest)
        self.criterion = CrossEntropy(label_smoothing)

    def step(self, batch: Batch) -> Iterator[Loss]:
        logits = self._forced(batch["input_ids"], batch["attention_mask"], batch["y"])
        value, weight = self.criterion(logits.flatten(0, 1), batch["y"].flatten())
        yield Loss(value, weight)

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        """Sums of each row with a target (`lamplighter.metrics.language`); ``written`` and ``y``, ids, -1 behind."""
        given = (batch["y"] >= 0).any(dim=1)
        ids, mask, y = (batch[name][given] for name in ("input_ids", "attention_mask", "y"))
        if y.shape[1] > self.limit:
            raise TrainingError(
                f"a target has {y.shape[1]} tokens, but at most {self.limit} are written; raise task.max_new_tokens"
            )
        sums = joined(
            len(ids),
            y.shape[1] * self.vocabulary.size,
            lambda part: row_sums(self._forced(ids[part], mask[part], y[part]), y[part]),
        )
        return {**sums, "written": _wide(self._written(ids, mask), self.limit), "y": _wide(y, self.limit)}

    def metrics(self, outputs: dict[str, np.ndarray]) -> dict[str, float]:
        texts = self._texts(outputs)
        own = {metric.key: metric.compute(*texts) for metric in (ExactMatch(), BLEU())}
        return {**language.metrics(outputs), **own}

    def scores(self, outputs: dict[str, np.ndarray]) -> dict[str, Score]:
        texts = self._texts(outputs)
        own = {metric.key: bootstrap.score(metric, *texts, seed=self.seed) for metric in (ExactMatch(), BLEU())}
        return {
            **language.scores(outputs, self.seed),
            **{name: score for name, score in own.items() if score is not None},
        }

    def metric_inputs(self, takes: Takes, outputs: dict[str, np.ndarray]) -> tuple[Any, Any]:
        return self._texts(outputs) if takes == "texts" else super().metric_inputs(takes, outputs)

    def shown(self, source: Source) -> dict[str, Any]:
        """``samples``: test rows, what the model writes for them, and the true target."""
        if self.tokenizer is None:
            return {}
        rows = source.split("test")
        batch = rows.fetch(np.linspace(0, len(rows) - 1, min(_SAMPLES, len(rows))).astype(np.int64))
        device = next(self.model.parameters()).device
        was_training = self.training
        self.eval()
        written = self._written(batch["input_ids"].to(device), batch["attention_mask"].to(device)).cpu()
        self.train(was_training)
        texts = [self._decoded(ids) for ids in (batch["input_ids"], written, batch["y"])]
        return {"samples": [dict(zip(("given", "written", "true"), row)) for row in zip(*texts)]}

    def export(self) -> ExportSpec:
        settings = {"vocabulary": self.vocabulary.model_dump(mode="json"), "max_new_tokens": self.limit}
        return ExportSpec(for_export(NextWritten(self.model)), "seq2seq", ("logits", "embedding"), settings)

    def _forced(self, ids: Tensor, mask: Tensor, y: Tensor) -> Tensor:
        """Logits (N, T, V), each given the true tokens before it."""
        begin = y.new_full((len(y), 1), int(self.vocabulary.bos or 0))
        before = torch.cat([begin, y[:, :-1].masked_fill(y[:, :-1] < 0, self.vocabulary.pad)], dim=1)
        return check_logits(self.model(ids, mask, before), y, self.vocabulary.size, "seq2seq")

    def _written(self, ids: Tensor, mask: Tensor) -> Tensor:
        """What the model writes, with the end token, padding behind; (N, at most ``limit``)."""
        model: Any = self.model
        if self.num_beams == 1:
            return greedy(model, ids, mask, max_new_tokens=self.limit)
        return beam_search(model, ids, mask, num_beams=self.num_beams, max_new_tokens=self.limit).best

    def _texts(self, outputs: dict[str, np.ndarray]) -> tuple[list[str], list[str]]:
        return self._decoded(outputs["written"]), self._decoded(outputs["y"])

    def _decoded(self, ids: Any) -> list[str]:
        """Texts of rows of ids: up to the end token, padding left out."""
        texts = []
        for row in np.asarray(ids):
            kept = row[(row >= 0) & (row != self.vocabulary.pad)]
            ends = np.flatnonzero(kept == self.vocabulary.eos)
            kept = kept[: ends[0]] if len(ends) else kept
            texts.append(" ".join(map(str, kept)) if self.tokenizer is None else self.tokenizer.decode(kept))
        return texts


def _wide(ids: Tensor, width: int) -> Tensor:
    """As wide in every batch, so that batches can be put together; -1 behind."""
    return F.pad(ids, (0, width - ids.shape[1]), value=-1)

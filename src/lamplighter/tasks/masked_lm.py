"""Hidden tokens of a text, from those around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from lamplighter.core.errors import DataError
from lamplighter.core.export_spec import AnswerKind, ExportSpec
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Signature
from lamplighter.data.source import Batch, Rows, Source
from lamplighter.data.tokenization.pieces import begins_word, meanings, special_ids
from lamplighter.losses.criterion import full_precision
from lamplighter.losses.cross_entropy import CrossEntropy
from lamplighter.metrics import language
from lamplighter.metrics.score import Score
from lamplighter.nn.language import HiddenToken, shows_states
from lamplighter.tasks.base import Loss, Task, for_export
from lamplighter.tasks.counted import UnigramCounts, count_tokens
from lamplighter.tasks.hiding import chosen, fixed_numbers, hidden
from lamplighter.tasks.language_model import check_tokens_are_the_target
from lamplighter.tasks.looking import looks_ahead
from lamplighter.tasks.token_sums import check_logits, joined, row_sums


class MaskedLM(Task):
    """Trains a network to find hidden tokens of a text, which makes it look at both sides of each.

    Batches hold ``input_ids`` and ``attention_mask`` (N, L). In training a share of the tokens is chosen anew each
    time: 80% of them are hidden, 10% replaced by other tokens, 10% left as they are, and the loss is the mean over
    them. In evaluation the chosen ones depend on the row's text alone and are all hidden. The report compares with
    always answering the most frequent token (unigram).

    Args:
        model: maps ids and mask to logits (N, L, V), looking at both sides.
        signature: of the data; its only target are tokens, and its vocabulary has a mask token.
        tokenizer: of the data, to tell words and special tokens; None: ids that the vocabulary names are special.
        rows: name of a split -> its rows, for the counts.
        seed: of the intervals of `scores`.
        share: of the tokens that are chosen.
        whole_words: choose all tokens of a word or none.
        label_smoothing: share of the target's probability spread over all tokens.
        pseudo_perplexity: in evaluation, also hide every token once by itself; takes as many passes as a row has
            tokens.
        baselines: whether to compare with unigram counts.

    Raises:
        DataError: the data has no tokens as target, or no mask token.
    """

    monitor = ("accuracy", "max")
    kind: AnswerKind | None = "masked-lm"
    ordinary: Tensor
    special_V: Tensor
    begins_V: Tensor

    def __init__(
        self,
        model: Annotated[nn.Module, FromData],
        signature: Annotated[Signature, FromData],
        tokenizer: Annotated[Any, FromData] = None,
        rows: Annotated[Callable[[str], Rows] | None, FromData] = None,
        seed: Annotated[int, FromData] = 0,
        share: Annotated[float, Field(gt=0, lt=1)] = 0.15,
        whole_words: bool = False,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        pseudo_perplexity: bool = False,
        baselines: bool = True,
    ) -> None:
        super().__init__()
        self.vocab_size = check_tokens_are_the_target(signature, "masked-lm")
        vocabulary = signature.vocabulary
        assert vocabulary is not None
        if vocabulary.mask is None:
            raise DataError(
                "task masked-lm needs a token that hides others, such as [MASK], which this tokenizer does not have; "
                "train one of your own: data.tokenizer: bpe or wordpiece"
            )
        self.signature, self.model = signature, model
        self.tokenizer, self.rows, self.seed = tokenizer, rows, seed
        self.mask_token_id, self.share = vocabulary.mask, share
        self.whole_words, self.pseudo_perplexity, self.baselines = whole_words, pseudo_perplexity, baselines
        self.criterion = CrossEntropy(label_smoothing)
        if not isinstance(model, UnigramCounts) and not looks_ahead(model, self.vocab_size):
            name = type(model).__name__
            self.notes = [f"{name} does not look at what stands behind a hidden token; a model such as bert does"]
        specials = meanings(vocabulary) if tokenizer is None else special_ids(tokenizer.tokenizer)
        special = np.isin(np.arange(self.vocab_size), specials)
        begins = np.ones(self.vocab_size, bool) if tokenizer is None else begins_word(tokenizer.tokenizer)
        self.register_buffer("special_V", torch.from_numpy(special), persistent=False)
        self.register_buffer("begins_V", torch.from_numpy(begins), persistent=False)
        self.register_buffer("ordinary", torch.from_numpy(np.flatnonzero(~special)), persistent=False)

    def step(self, batch: Batch) -> Iterator[Loss]:
        ids, mask = batch["input_ids"], batch["attention_mask"]
        # torch's own generator, as dropout draws from it: part of every checkpoint, seeded by step and process
        wanted = self._chosen(torch.rand(ids.shape, device=ids.device), ids, mask)
        shown = hidden(ids, wanted, self.mask_token_id, self.ordinary)
        value, weight = self.criterion(self._logits_at(wanted, shown, mask), ids[wanted])
        yield Loss(value, weight)

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        """Sums of each row, see `lamplighter.metrics.language`."""
        ids, mask = batch["input_ids"], batch["attention_mask"]
        numbers = ids.shape[1] * self.vocab_size
        return joined(len(ids), numbers, lambda part: self._sums(ids[part], mask[part]))

    def metrics(self, outputs: dict[str, np.ndarray]) -> dict[str, float]:
        return language.metrics(outputs)

    def scores(self, outputs: dict[str, np.ndarray]) -> dict[str, Score]:
        return language.scores(outputs, self.seed)

    def compared(self) -> dict[str, Task]:
        if self.rows is None or not self.baselines:
            return {}
        counts = count_tokens(self.rows("train"), self.vocab_size, self._ordinary_of)
        model = UnigramCounts(counts)
        facts = {"tokenizer": self.tokenizer, "seed": self.seed, "share": self.share, "whole_words": self.whole_words}
        return {"most frequent token": MaskedLM(model, self.signature, **facts)}

    def shown(self, source: Source) -> dict[str, Any]:
        """``samples``: test rows with hidden tokens, and what the model puts there."""
        from lamplighter.tasks.fillings import fillings

        return {"samples": fillings(self, source)} if self.tokenizer else {}

    def export(self) -> ExportSpec:
        outputs = ("logits", "log_probabilities", *(("embedding",) if shows_states(self.model) else ()))
        assert self.signature.vocabulary is not None
        settings = {"vocabulary": self.signature.vocabulary.model_dump(mode="json")}
        return ExportSpec(for_export(HiddenToken(self.model, self.mask_token_id)), "masked-lm", outputs, settings)

    def hide(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Ids with the tokens hidden that an evaluation hides, and where these are."""
        wanted = self._chosen(fixed_numbers(input_ids, attention_mask), input_ids, attention_mask)
        return input_ids.masked_fill(wanted, self.mask_token_id), wanted

    def _sums(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        shown, wanted = self.hide(ids, mask)
        sums = row_sums(self._logits(shown, mask), ids.masked_fill(~wanted, -1))
        return {**sums, **(self._pseudo(ids, mask) if self.pseudo_perplexity else {})}

    def _pseudo(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Every ordinary token hidden once, alone."""
        may = mask & ~self.special_V[ids]
        nll = torch.zeros(ids.shape, device=ids.device)
        for place in may.any(dim=0).nonzero().flatten().tolist():
            rows = may[:, place].nonzero().flatten()
            shown = ids[rows]
            shown[:, place] = self.mask_token_id
            at = torch.zeros_like(shown, dtype=torch.bool)
            at[:, place] = True
            log_p = full_precision(self._logits_at(at, shown, mask[rows])).log_softmax(dim=1)
            nll[rows, place] = -log_p.gather(1, ids[rows, place, None]).squeeze(1)
        return {"pseudo_nll": nll.sum(dim=1), "pseudo_tokens": may.sum(dim=1)}

    def _chosen(self, number: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        may = mask & ~self.special_V[ids]
        return chosen(number, may, self.share, self.begins_V[ids] if self.whole_words else None)

    def _ordinary_of(self, batch: Batch) -> Tensor:
        ids = batch["input_ids"]
        return ids[batch["attention_mask"] & ~self.special_V.cpu()[ids]]

    def _logits(self, ids: Tensor, mask: Tensor) -> Tensor:
        logits: Tensor = self.model(ids, mask)
        return check_logits(logits, ids, self.vocab_size, "masked-lm")

    def _logits_at(self, wanted: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Logits of the wanted positions, (W, V): the head, the widest layer, computes these alone where it can."""
        if not shows_states(self.model) or isinstance(self.model, FSDPModule):  # FSDP watches ``forward`` only
            return self._logits(ids, mask)[wanted]
        model = cast(Any, self.model)
        logits: Tensor = model.head(model.hidden(ids, mask)[wanted])
        return logits

"""LSTM, GRU and RNN over texts: classifier, tagger (with a CRF if wanted) and language model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor

from lamplighter.core.errors import LamplighterError
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Signature
from lamplighter.models.text import Head
from lamplighter.models.text_model import PoolingName, TextModel, refuse_head
from lamplighter.nn.crf import CRF
from lamplighter.nn.recurrent.cells import State
from lamplighter.nn.recurrent.kernels import Recurrent
from lamplighter.nn.tokens import check_tokens


class LSTM(TextModel):
    """head(pool(LSTM(embed(input_ids)))) (Hochreiter and Schmidhuber 1997; both directions: Schuster and Paliwal 1997).

    A bidirectional network is the right one where the whole text is there (classes, tags); one direction is for what
    comes bit by bit and for language models, which must not see the next token. Of a bidirectional network the pooling
    ``last`` takes the forward half at the last token and the backward half at the first: each has read everything.

    Args:
        vocab_size: tokens of the vocabulary.
        pad_token_id: fills short texts; its embedding stays 0.
        num_classes: width of a classifier's or tagger's head.
        head: ``classifier``, ``tagger``, ``lm`` (one direction only) or ``none``; decided by the data's target.
        signature: of the data; the labels of a CRF are read from it.
        tokenizer: of the data; says what word each id is when vectors are read.
        embedding_dim: width of an embedding.
        hidden_size: width of one direction.
        num_layers: stacked layers.
        bidirectional: also read from the end.
        cell: ``lstm``, ``gru`` or ``rnn``.
        pooling: what a classifier reads: the last state, or mean, max or attention over the states of all real tokens.
        dropout: probability with which a number between layers or before the head is set to 0 in training.
        embedding_dropout: share of tokens whose whole embedding is set to 0 in training.
        forget_bias: start of an LSTM's forget bias; at 1 gradients reach further back than at random; null: random.
        tie_weights: let the head of a language model be the embedding's matrix.
        crf: judge whole sequences of tags, see `lamplighter.nn.crf.CRF`; with BIO or IOBES labels what the scheme
            forbids is out of the question. For taggers.
        vectors: file of word2vec or GloVe in text format that the embedding starts with.

    Shapes:
        input_ids (N, L), attention_mask (N, L) or None -> (N, num_classes), (N, L, num_classes) or (N, L, vocab_size)

    Raises:
        LamplighterError: a head, a CRF or tied weights that do not fit the rest.

    >>> import torch
    >>> model = LSTM(vocab_size=9, pad_token_id=0, num_classes=2, bidirectional=True)
    >>> model(torch.tensor([[3, 4, 0]]), torch.tensor([[True, True, False]])).shape
    torch.Size([1, 2])
    """

    def __init__(
        self,
        vocab_size: Annotated[int, FromData],
        pad_token_id: Annotated[int, FromData],
        num_classes: Annotated[int, FromData],
        head: Annotated[Head, FromData] = "classifier",
        signature: Annotated[Signature | None, FromData] = None,
        tokenizer: Annotated[Any, FromData] = None,
        embedding_dim: Annotated[int, Field(gt=0)] = 128,
        hidden_size: Annotated[int, Field(gt=0)] = 128,
        num_layers: Annotated[int, Field(gt=0)] = 1,
        bidirectional: bool = False,
        cell: Literal["lstm", "gru", "rnn"] = "lstm",
        pooling: PoolingName = "last",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        embedding_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        forget_bias: float | None = 1.0,
        tie_weights: bool = False,
        crf: bool = False,
        vectors: str | None = None,
    ) -> None:
        if head == "lm" and bidirectional:
            why = "a bidirectional network sees the token it is to predict; set bidirectional: false"
            raise refuse_head("lstm", head, why, "none, classifier and tagger")
        if crf and head != "tagger":
            raise LamplighterError(f"lstm: crf judges tags, but the head is '{head}'; leave crf out")
        super().__init__("lstm", vocab_size, pad_token_id, embedding_dim, head, pooling, dropout, embedding_dropout)
        self.recurrent = Recurrent(
            cell, embedding_dim, hidden_size, num_layers, bidirectional, dropout=dropout, forget_bias=forget_bias
        )
        self.add_head(self.recurrent.output_size, num_classes, tie_weights)
        self.crf: CRF | None = None
        if crf:
            labels = signature.labels if signature is not None and len(signature.labels) == num_classes else None
            self.crf = CRF(num_classes, labels)
        if vectors is not None:
            self.read_vectors(vectors, tokenizer)

    def states(self, x: Tensor, mask: Tensor | None) -> Tensor:
        states: Tensor = self.recurrent(x, mask)
        return states

    def last(self, states: Tensor, mask: Tensor | None) -> Tensor:
        return self.recurrent.final(states, mask)

    def step(self, input_ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """The next piece of texts that come bit by bit: pieces with the carried state give what the whole gives.

        Args:
            input_ids: (N, L), no padding.
            state: as the step before gave it; None at the beginning.

        Returns:
            What the head says of these tokens, (N, L, ...), and the state.

        Raises:
            LamplighterError: the network is bidirectional, or its head reads whole texts.
        """
        if self.head_name == "classifier":
            raise LamplighterError(
                "lstm: a classifier answers for whole texts; a tagger or a language model can stream"
            )
        if self.recurrent.bidirectional:
            raise LamplighterError(
                "lstm: a bidirectional model cannot stream: its backward half starts at the last token, which has not "
                "come yet; train one with bidirectional: false, or give it whole texts"
            )
        check_tokens(input_ids, None, self.vocab_size, "lstm")
        states, state = self.recurrent.stream(self.embed(input_ids), state)
        output: Tensor = self.head(self.dropout(states))
        return output, state

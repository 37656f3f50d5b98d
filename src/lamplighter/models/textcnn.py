"""TextCNN: convolutions of several widths over a text, and the maximum of each over time."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.registry import FromData
from lamplighter.models.text import Head
from lamplighter.models.text_model import PoolingName, TextModel, refuse_head
from lamplighter.nn.causal_conv import CausalConv1d


class TextCNN(TextModel):
    """head(dropout(max over time of relu(conv_k(embed(input_ids))), k = 3, 4, 5 side by side)) (Kim 2014,

    "Convolutional Neural Networks for Sentence Classification"). Each filter is a detector of an expression of a few
    words, wherever it stands. Texts are padded by zeros on both sides, so the length stays and short texts fit.

    Args:
        vocab_size: tokens of the vocabulary.
        pad_token_id: fills short texts; its embedding stays 0.
        num_classes: width of the head.
        head: ``classifier``, ``tagger`` or ``none``; decided by the data's target.
        tokenizer: of the data; says what word each id is when vectors are read.
        embedding_dim: width of an embedding.
        kernel_sizes: words that a filter sees, one group of filters for each.
        channels: filters of each group.
        pooling: what a classifier reads: the maximum of each filter (as in the paper), or mean, last or attention.
        dropout: probability with which a number before the head is set to 0 in training.
        embedding_dropout: share of tokens whose whole embedding is set to 0 in training.
        vectors: file of word2vec or GloVe in text format that the embedding starts with.

    Shapes:
        input_ids (N, L), attention_mask (N, L) or None -> (N, num_classes) or (N, L, num_classes)

    Raises:
        LamplighterError: the head of a language model: filters see later tokens.

    >>> model = TextCNN(vocab_size=9, pad_token_id=0, num_classes=2)
    >>> model.forward_features(torch.tensor([[3, 4]])).shape
    torch.Size([1, 300])
    """

    def __init__(
        self,
        vocab_size: Annotated[int, FromData],
        pad_token_id: Annotated[int, FromData],
        num_classes: Annotated[int, FromData],
        head: Annotated[Head, FromData] = "classifier",
        tokenizer: Annotated[Any, FromData] = None,
        embedding_dim: Annotated[int, Field(gt=0)] = 128,
        kernel_sizes: tuple[Annotated[int, Field(gt=0)], ...] = (3, 4, 5),
        channels: Annotated[int, Field(gt=0)] = 100,
        pooling: PoolingName = "max",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        embedding_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        vectors: str | None = None,
    ) -> None:
        if head == "lm":
            why = "its filters see the token it is to predict"
            raise refuse_head("textcnn", head, why, "none, classifier and tagger")
        super().__init__("textcnn", vocab_size, pad_token_id, embedding_dim, head, pooling, dropout, embedding_dropout)
        self.convs = nn.ModuleList(CausalConv1d(embedding_dim, channels, k, causal=False) for k in kernel_sizes)
        self.add_head(channels * len(kernel_sizes), num_classes)
        if vectors is not None:
            self.read_vectors(vectors, tokenizer)

    def states(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x_NEL = x.transpose(1, 2)
        if mask is None:
            return torch.cat([torch.relu(conv(x_NEL)) for conv in self.convs], dim=1).transpose(1, 2)
        keep_N1L = mask.unsqueeze(1).to(x.dtype)
        states_NCL = torch.cat([torch.relu(conv(x_NEL * keep_N1L)) for conv in self.convs], dim=1)
        return (states_NCL * keep_N1L).transpose(1, 2)

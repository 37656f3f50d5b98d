"""Temporal convolutional network over texts: dilated causal convolutions in place of recurrence."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.registry import FromData
from lamplighter.models.text import Head
from lamplighter.models.text_model import PoolingName, TextModel, refuse_head
from lamplighter.nn.causal_conv import TemporalBlock


class TCN(TextModel):
    """Residual blocks whose dilation doubles from block to block (Bai et al. 2018; WaveNet: van den Oord et al. 2016).

    All positions are computed at once, and the receptive field grows exponentially with the depth: b blocks of kernel k
    see 1 + 2 (k - 1) (2^b - 1) positions.

    Args:
        vocab_size: tokens of the vocabulary.
        pad_token_id: fills short texts; its embedding stays 0.
        num_classes: width of a classifier's or tagger's head.
        head: ``classifier``, ``tagger``, ``lm`` (causal only) or ``none``; decided by the data's target.
        tokenizer: of the data; says what word each id is when vectors are read.
        embedding_dim: width of an embedding.
        channels: width of the hidden states.
        num_blocks: residual blocks of two convolutions each.
        kernel_size: positions that a convolution sees.
        causal: each state sees its own token and earlier ones only; with false also later ones.
        pooling: what a classifier reads: the last state, or mean, max or attention over the states of all real tokens.
        dropout: share of channels set to 0 after each convolution, and of numbers before the head, in training.
        embedding_dropout: share of tokens whose whole embedding is set to 0 in training.
        tie_weights: let the head of a language model be the embedding's matrix.
        vectors: file of word2vec or GloVe in text format that the embedding starts with.

    Shapes:
        input_ids (N, L), attention_mask (N, L) or None -> (N, num_classes), (N, L, num_classes) or (N, L, vocab_size)

    Raises:
        LamplighterError: a language model that is not causal, or tied weights that do not fit.

    >>> TCN(vocab_size=9, pad_token_id=0, num_classes=2, num_blocks=4, kernel_size=3).receptive_field
    61
    """

    def __init__(
        self,
        vocab_size: Annotated[int, FromData],
        pad_token_id: Annotated[int, FromData],
        num_classes: Annotated[int, FromData],
        head: Annotated[Head, FromData] = "classifier",
        tokenizer: Annotated[Any, FromData] = None,
        embedding_dim: Annotated[int, Field(gt=0)] = 128,
        channels: Annotated[int, Field(gt=0)] = 128,
        num_blocks: Annotated[int, Field(gt=0, le=16)] = 4,
        kernel_size: Annotated[int, Field(gt=1)] = 3,
        causal: bool = True,
        pooling: PoolingName = "max",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        embedding_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        tie_weights: bool = False,
        vectors: str | None = None,
    ) -> None:
        if head == "lm" and not causal:
            why = "without causal convolutions it sees the token it is to predict; set causal: true"
            raise refuse_head("tcn", head, why, "none, classifier and tagger")
        super().__init__("tcn", vocab_size, pad_token_id, embedding_dim, head, pooling, dropout, embedding_dropout)
        self.receptive_field = 1 + 2 * (kernel_size - 1) * (2**num_blocks - 1)
        self.blocks = nn.ModuleList(
            TemporalBlock(embedding_dim if b == 0 else channels, channels, kernel_size, 2**b, causal, dropout)
            for b in range(num_blocks)
        )
        self.add_head(channels, num_classes, tie_weights)
        if vectors is not None:
            self.read_vectors(vectors, tokenizer)

    def states(self, x: Tensor, mask: Tensor | None) -> Tensor:
        keep_N1L = None if mask is None else mask.unsqueeze(1).to(x.dtype)
        h_NCL = x.transpose(1, 2)
        for block in self.blocks:
            h_NCL = block(h_NCL, keep_N1L)
        return (h_NCL if keep_N1L is None else h_NCL * keep_N1L).transpose(1, 2)

"""What text models of recurrent and convolutional layers share: embedding, pooling, and the head that the data needs.

Legend: N rows, L positions, E width of an embedding, D width of a hidden state.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.core.errors import LamplighterError, WeightsError
from lamplighter.models.text import Head
from lamplighter.nn.embedding import Embedding, load_vectors
from lamplighter.nn.masks import last_token
from lamplighter.nn.pooling import AttentionPool, masked_max, masked_mean
from lamplighter.nn.tokens import check_tokens

PoolingName = Literal["last", "mean", "max", "attention"]


class TextModel(nn.Module):
    """head(pool(states(embed(input_ids)))) for a classifier, head(states(embed(input_ids))) for all other heads.

    A subclass gives `states`, and may give `last`.

    Args:
        name: in the catalog, for messages.
        vocab_size: tokens of the vocabulary.
        pad_token_id: its embedding stays 0.
        embedding_dim: E.
        head: ``classifier`` gives one row of scores for a text, ``tagger`` one for each token, ``lm`` scores of the
            next token, ``none`` the hidden states.
        pooling: how a classifier makes one vector of all states.
        dropout: of what the head reads.
        embedding_dropout: share of tokens whose whole embedding is set to 0 in training.
    """

    def __init__(
        self,
        name: str,
        vocab_size: int,
        pad_token_id: int,
        embedding_dim: int,
        head: Head,
        pooling: PoolingName = "last",
        dropout: float = 0.0,
        embedding_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.name, self.head_name, self.vocab_size, self.pooling = name, head, vocab_size, pooling
        self.embedding = Embedding(vocab_size, embedding_dim, padding_idx=pad_token_id)
        self.embedding_dropout = embedding_dropout
        self.drop_rate = dropout
        self.pool: AttentionPool | None = None
        self.head: nn.Module

    def add_head(self, width: int, num_classes: int, tie_weights: bool = False) -> None:
        """Put the pooling and the head on top; a subclass calls it once its own layers stand.

        Args:
            width: D.
            num_classes: width of the head; of ``lm`` it is ``vocab_size``.
            tie_weights: the head of a language model uses the embedding's matrix; needs E = D.

        Raises:
            LamplighterError: tied weights with another head, or of two widths.
        """
        if self.head_name == "classifier" and self.pooling == "attention":
            self.pool = AttentionPool(width)
        self.dropout = nn.Dropout(self.drop_rate)
        self.head = nn.Identity()
        if self.head_name != "none":
            self.head = nn.Linear(width, self.vocab_size if self.head_name == "lm" else num_classes)
        if tie_weights:
            self._tie(self.embedding.embedding_dim, width)

    def states(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(N, L, E) -> (N, L, D)."""
        raise NotImplementedError

    def last(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """The state after the whole text: (N, L, D) -> (N, D)."""
        if mask is None:
            return states[:, -1]
        index = last_token(mask).view(-1, 1, 1).expand(-1, 1, states.shape[2])
        return states.gather(1, index).squeeze(1)

    def hidden(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Hidden state of each token, (N, L, D); 0 at padding."""
        states, _ = self._states(input_ids, attention_mask)
        return states if self.head_name == "classifier" else self._dropped(states)

    def forward_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Input of a classifier's head, (N, D).

        Raises:
            LamplighterError: the model has another head, which reads the state of each token: see `hidden`.
        """
        if self.head_name != "classifier":
            raise LamplighterError(f"{self.name}: the head '{self.head_name}' reads each token's state; use hidden()")
        states, mask = self._states(input_ids, attention_mask)
        if self.pool is not None:
            return self._dropped(self.pool(states, mask))
        if self.pooling == "last":
            return self._dropped(self.last(states, mask))
        return self._dropped((masked_mean if self.pooling == "mean" else masked_max)(states, mask))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        classifies = self.head_name == "classifier"
        read = (self.forward_features if classifies else self.hidden)(input_ids, attention_mask)
        output: Tensor = self.head(read)
        return output

    def read_vectors(self, path: str, tokenizer: Any) -> None:
        """Start the embedding with the vectors of a text file, see `lamplighter.nn.embedding.load_vectors`.

        Raises:
            WeightsError: no tokenizer, or the file does not fit.
        """
        inner = getattr(tokenizer, "tokenizer", tokenizer)
        vocabulary = inner.get_vocab() if hasattr(inner, "get_vocab") else inner
        if not vocabulary:
            raise WeightsError(
                f"{self.name}: vectors from {path} need the data's tokenizer, which says what word an id is"
            )
        load_vectors(self.embedding, Path(path), vocabulary)

    def embed(self, input_ids: Tensor) -> Tensor:
        """(N, L) -> (N, L, E); in training some tokens' vectors are 0 (Gal and Ghahramani 2016)."""
        x: Tensor = self.embedding(input_ids)
        if self.training and self.embedding_dropout > 0:
            x = x * F.dropout(x.new_ones(*x.shape[:2], 1), self.embedding_dropout)
        return x

    def _states(self, input_ids: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        mask = check_tokens(input_ids, attention_mask, self.vocab_size, self.name)
        return self.states(self.embed(input_ids), mask), mask

    def _dropped(self, x: Tensor) -> Tensor:
        dropped: Tensor = self.dropout(x)
        return dropped

    def _tie(self, embedding_dim: int, width: int) -> None:
        if self.head_name != "lm" or embedding_dim != width:
            raise LamplighterError(
                f"{self.name}: tie_weights shares the embedding with the head of a language model, and needs both to "
                f"be of one width; here the head is '{self.head_name}', embedding_dim {embedding_dim}, width {width}"
            )
        assert isinstance(self.head, nn.Linear)
        self.head.weight = self.embedding.weight


def refuse_head(name: str, head: Head, why: str, has: str) -> LamplighterError:
    """The error of a model that cannot serve a head."""
    return LamplighterError(f"{name}: no head '{head}': {why}; it has the heads {has}")

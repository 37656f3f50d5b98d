"""BERT: a Transformer encoder whose tokens see both sides, with heads for classes, tags and hidden tokens."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.core.errors import LamplighterError
from lamplighter.core.registry import FromData
from lamplighter.models.text import Head, HiddenAct, activation_name, check_head, draw_normal
from lamplighter.models.weights.bert_names import HUGGING_FACE
from lamplighter.models.weights.layouts import Layout
from lamplighter.nn.activation import activation
from lamplighter.nn.attention import attend
from lamplighter.nn.masks import padding_mask
from lamplighter.nn.multi_head import check_heads, split
from lamplighter.nn.positions import LearnedPositions
from lamplighter.nn.tokens import check_tokens

Probability = Annotated[float, Field(ge=0, lt=1)]


class Bert(nn.Module):
    """BERT (Devlin et al. 2019): embeddings of tokens, positions and segments; post-norm encoder layers; a head.

    Names of tensors are those of Hugging Face's ``BertForSequenceClassification``, ``BertForTokenClassification`` and
    ``BertForMaskedLM``, so their checkpoints load; so do those of ``BertModel``
    (`lamplighter.models.weights.bert_names`). The activation is the exact GELU and norms have epsilon 1e-12, unless
    told otherwise.

    Args:
        vocab_size: number of tokens.
        pad_token_id: id of padding; its embedding starts at 0 and is not trained.
        num_classes: width of a classifier or tagger.
        head: ``classifier`` reads the first token ([CLS]) through the pooler, ``tagger`` every token, ``lm`` predicts
            hidden tokens with the token embeddings as its matrix, ``none`` gives the states.
        hidden_size: width of every position.
        num_hidden_layers: encoder layers.
        num_attention_heads: must divide ``hidden_size``.
        intermediate_size: width inside of the feed-forward networks.
        hidden_act: activation inside of the feed-forward networks and of the ``lm`` head.
        hidden_dropout_prob: dropout of embeddings and of both results of a layer.
        attention_probs_dropout_prob: dropout of attention weights.
        classifier_dropout: dropout before a classifier or tagger; ``hidden_dropout_prob`` when null.
        max_position_embeddings: longest sequence.
        type_vocab_size: segments (first and second sentence).
        layer_norm_eps: of all norms.
        initializer_range: standard deviation of the initial weights.

    Shapes:
        (N, L) -> (N, num_classes), (N, L, num_classes), (N, L, vocab_size) or (N, L, hidden_size), by head

    >>> import torch
    >>> with torch.device("meta"):  # shapes only
    ...     model = Bert(vocab_size=30522, head="none")
    >>> sum(p.numel() for p in model.parameters())
    109482240
    """

    layouts: ClassVar[tuple[Layout, ...]] = (HUGGING_FACE,)
    """Other names under which checkpoints hold these tensors."""

    def __init__(
        self,
        vocab_size: Annotated[int, FromData],
        pad_token_id: Annotated[int, FromData] = 0,
        num_classes: Annotated[int, FromData] = 2,
        head: Annotated[Head, FromData] = "none",
        hidden_size: Annotated[int, Field(gt=0)] = 768,
        num_hidden_layers: Annotated[int, Field(gt=0)] = 12,
        num_attention_heads: Annotated[int, Field(gt=0)] = 12,
        intermediate_size: Annotated[int, Field(gt=0)] = 3072,
        hidden_act: HiddenAct = "gelu",
        hidden_dropout_prob: Probability = 0.1,
        attention_probs_dropout_prob: Probability = 0.1,
        classifier_dropout: Probability | None = None,
        max_position_embeddings: Annotated[int, Field(gt=0)] = 512,
        type_vocab_size: Annotated[int, Field(gt=0)] = 2,
        layer_norm_eps: Annotated[float, Field(gt=0)] = 1e-12,
        initializer_range: Annotated[float, Field(gt=0)] = 0.02,
    ) -> None:
        super().__init__()
        check_head("bert", head, ("none", "classifier", "tagger", "lm"))
        check_heads(hidden_size, num_attention_heads, num_attention_heads, "bert")
        self.head_name, self.vocab_size = head, vocab_size
        embeddings = Embeddings(
            vocab_size, pad_token_id, hidden_size, max_position_embeddings, type_vocab_size, layer_norm_eps,
            hidden_dropout_prob,
        )  # fmt: skip
        layers = [
            EncoderLayer(
                hidden_size, num_attention_heads, intermediate_size, hidden_act, hidden_dropout_prob,
                attention_probs_dropout_prob, layer_norm_eps,
            )
            for _ in range(num_hidden_layers)
        ]  # fmt: skip
        self.bert = Encoder(embeddings, layers, Pooler(hidden_size) if head in ("none", "classifier") else None)
        self.dropout = nn.Dropout(hidden_dropout_prob if classifier_dropout is None else classifier_dropout)
        if head in ("classifier", "tagger"):
            self.classifier = nn.Linear(hidden_size, num_classes)
        elif head == "lm":
            self.cls = MaskedHead(hidden_size, vocab_size, hidden_act, layer_norm_eps)
        draw_normal(self, initializer_range)
        if head == "lm":
            self.cls.predictions.decoder.weight = embeddings.word_embeddings.weight

    @property
    def head(self) -> nn.Module:
        """What makes the output of hidden states; of a classifier, of `forward_features`."""
        if self.head_name == "lm":
            return self.cls.predictions
        return nn.Identity() if self.head_name == "none" else self.classifier

    def hidden(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """States after the last layer, (N, L, hidden_size).

        Args:
            input_ids: (N, L).
            attention_mask: (N, L), True at real tokens; None when all are.
            token_type_ids: (N, L), 0 in the first sentence, 1 in the second; None when there is one.

        Raises:
            InputError: see `lamplighter.nn.tokens.check_tokens`; or more tokens than positions.
        """
        mask = check_tokens(input_ids, attention_mask, self.vocab_size, "bert")
        states: Tensor = self.bert(input_ids, mask, token_type_ids)
        return states

    def pooled(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """tanh(W h + b) of the first token's state: BERT's vector of a text, (N, hidden_size).

        Raises:
            LamplighterError: the model has a head that works without the pooler.
        """
        if self.head_name not in ("none", "classifier"):
            raise LamplighterError(f"bert: the head '{self.head_name}' reads each token's state; use hidden()")
        vector: Tensor = self.bert.pooler(self.hidden(input_ids, attention_mask, token_type_ids)[:, 0])
        return vector

    def forward_features(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Input of the classifier: `pooled`, after dropout."""
        vector: Tensor = self.dropout(self.pooled(input_ids, attention_mask, token_type_ids))
        return vector

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """As `hidden`, through the head."""
        if self.head_name == "classifier":
            logits: Tensor = self.classifier(self.forward_features(input_ids, attention_mask, token_type_ids))
            return logits
        states = self.hidden(input_ids, attention_mask, token_type_ids)
        output: Tensor = self.head(self.dropout(states) if self.head_name == "tagger" else states)
        return output


class Embeddings(nn.Module):
    """norm(token + position + segment), then dropout."""

    def __init__(
        self, vocab_size: int, pad: int, width: int, positions: int, segments: int, eps: float, dropout: float
    ) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, width, padding_idx=pad)
        self.position_embeddings = LearnedPositions(positions, width, "max_position_embeddings")
        self.token_type_embeddings = nn.Embedding(segments, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        length = input_ids.shape[1]
        self.position_embeddings.check(length, "bert")
        segments = self.token_type_embeddings.weight
        segment = segments[0] if token_type_ids is None else F.embedding(token_type_ids, segments)
        embedded = self.word_embeddings(input_ids) + segment + self.position_embeddings.weight[:length]
        h: Tensor = self.dropout(self.LayerNorm(embedded))
        return h


class Encoder(nn.Module):
    """Embeddings, layers and pooler, under the names of Hugging Face's ``BertModel``."""

    def __init__(self, embeddings: Embeddings, layers: list[EncoderLayer], pooler: Pooler | None) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.encoder = Layers(layers)
        if pooler is not None:
            self.pooler = pooler

    def forward(self, input_ids: Tensor, mask: Tensor | None, token_type_ids: Tensor | None) -> Tensor:
        h: Tensor = self.embeddings(input_ids, token_type_ids)
        mask = None if mask is None else padding_mask(mask)
        h = self.encoder(h, mask)
        return h


class Layers(nn.Module):
    """One layer after the other, a level down, where Hugging Face has them."""

    def __init__(self, layers: list[EncoderLayer]) -> None:
        super().__init__()
        self.layer = nn.ModuleList(layers)

    def forward(self, h: Tensor, mask: Tensor | None) -> Tensor:
        for layer in self.layer:
            h = layer(h, mask)
        return h


class Pooler(nn.Module):
    """tanh(W h + b)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)

    def forward(self, first: Tensor) -> Tensor:
        vector: Tensor = self.dense(first).tanh()
        return vector


class EncoderLayer(nn.Module):
    """norm(h + attention(h)), then norm(h + W2 act(W1 h)), under Hugging Face's names."""

    def __init__(
        self, width: int, heads: int, inner: int, act: HiddenAct, dropout: float, attention_dropout: float, eps: float
    ) -> None:
        super().__init__()
        self.attention = Attention(width, heads, dropout, attention_dropout, eps)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.activation = activation(activation_name(act))
        self.output = AddAndNorm(inner, width, dropout, eps)

    def forward(self, h: Tensor, mask: Tensor | None) -> Tensor:
        h = self.attention(h, mask)
        out: Tensor = self.output(self.activation(self.intermediate["dense"](h)), h)
        return out


class Attention(nn.Module):
    """Multi-head self-attention with its sum and norm."""

    def __init__(self, width: int, heads: int, dropout: float, attention_dropout: float, eps: float) -> None:
        super().__init__()
        self.heads, self.attention_dropout = heads, attention_dropout
        self.self = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.output = AddAndNorm(width, width, dropout, eps)

    def forward(self, h: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (split(self.self[name](h), self.heads) for name in ("query", "key", "value"))
        mixed = attend(q, k, v, mask, dropout=self.attention_dropout if self.training else 0.0)
        out: Tensor = self.output(mixed.transpose(1, 2).flatten(2), h)
        return out


class AddAndNorm(nn.Module):
    """norm(residual + dropout(W h + b))."""

    def __init__(self, inner: int, width: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, residual: Tensor) -> Tensor:
        out: Tensor = self.LayerNorm(residual + self.dropout(self.dense(h)))
        return out


class MaskedHead(nn.Module):
    """The head of the masked language model, one level down, where Hugging Face has it."""

    def __init__(self, width: int, vocab_size: int, act: HiddenAct, eps: float) -> None:
        super().__init__()
        self.predictions = Predictions(width, vocab_size, act, eps)


class Predictions(nn.Module):
    """E norm(act(W h + b)) + c with E the token embeddings: scores of all tokens at each position."""

    def __init__(self, width: int, vocab_size: int, act: HiddenAct, eps: float) -> None:
        super().__init__()
        self.transform = nn.ModuleDict({"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=eps)})
        self.activation = activation(activation_name(act))
        self.decoder = nn.Linear(width, vocab_size)
        self.bias = self.decoder.bias

    def forward(self, h: Tensor) -> Tensor:
        h = self.transform["LayerNorm"](self.activation(self.transform["dense"](h)))
        logits: Tensor = self.decoder(h)
        return logits

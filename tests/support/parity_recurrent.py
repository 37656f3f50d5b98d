"""Parity of the recurrent, convolutional and encoder-decoder text models with independent compositions.

The references read each sentence by itself, without padding: packed sequences of torch, convolutions as sums over
unfolded positions, attention pair by pair, torch's own Transformer. Names of their tensors are ours, loaded strictly.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from parity import Case
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lamplighter import models
from lamplighter.nn.recurrent.kernels import Recurrent

VOCABULARY, CLASSES, WIDTH = 11, 3, 4
LENGTHS = (7, 3, 5, 1)


def sentences() -> tuple[Tensor, Tensor]:
    """Ids of four sentences, anything at padding, and which tokens are real."""
    ids = torch.randint(0, VOCABULARY, (4, 7), generator=torch.Generator().manual_seed(0))
    return ids, torch.arange(7) < torch.tensor(LENGTHS)[:, None]


class Text(nn.Module):
    """Embedding, states of each sentence alone, pooling, head."""

    def __init__(self, width: int, head: str = "classifier", pooling: str = "last") -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH, padding_idx=0)
        self.head = nn.Linear(width, VOCABULARY if head == "lm" else CLASSES)
        self.classifies, self.pooling = head == "classifier", pooling
        if pooling == "attention":
            self.pool = nn.ModuleDict({"project": nn.Linear(width, width), "score": nn.Linear(width, 1, bias=False)})

    def states(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """States (L, D) of one sentence (L, E), and the final one (D,)."""
        raise NotImplementedError

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        rows = []
        for sentence, real in zip(ids, mask):
            states, final = self.states(self.embedding(sentence[real]))
            if self.classifies:
                rows.append(self.head(self.pooled(states, final)))
            else:
                padded = F.pad(states, (0, 0, 0, ids.shape[1] - len(states)))
                rows.append(self.head(padded))
        return torch.stack(rows)

    def pooled(self, states: Tensor, final: Tensor) -> Tensor:
        if self.pooling == "last":
            return final
        if self.pooling == "attention":
            weights = self.pool["score"](torch.tanh(self.pool["project"](states))).softmax(0)
            return (weights * states).sum(0)
        return states.mean(0) if self.pooling == "mean" else states.max(0).values


class PackedText(Text):
    """Torch's recurrent layers over packed sequences."""

    def __init__(self, kind: Any, layers: int, both: bool, head: str, pooling: str) -> None:
        super().__init__((2 if both else 1) * 5, head, pooling)
        self.recurrent = kind(WIDTH, 5, layers, bidirectional=both, batch_first=True)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.embedding(ids), mask.sum(1), batch_first=True, enforce_sorted=False)
        sequence, final = self.recurrent(packed)
        states = pad_packed_sequence(sequence, batch_first=True)[0]
        if not self.classifies:
            scores: Tensor = self.head(states)
            return scores
        h = final[0] if isinstance(final, tuple) else final
        last = h[-2:].transpose(0, 1).flatten(1) if self.recurrent.bidirectional else h[-1]
        rows = [self.pooled(row[real], end) for row, real, end in zip(states, mask, last)]
        scores = self.head(torch.stack(rows))
        return scores


def unfolded(conv: nn.Conv1d, x: Tensor, left: int, right: int, dilation: int) -> Tensor:
    """A convolution of one sentence (L, C) as a product of all its windows with the kernel."""
    padded = F.pad(x.T, (left, right))
    taps = [padded[:, k * dilation : k * dilation + len(x)] for k in range(conv.weight.shape[2])]
    output = torch.einsum("ock,kcl->lo", conv.weight, torch.stack(taps))
    assert conv.bias is not None
    return output + conv.bias


class WindowedTCN(Text):
    """Residual blocks of dilated convolutions, by windows."""

    def __init__(self, causal: bool, head: str, pooling: str) -> None:
        super().__init__(6, head, pooling)
        self.causal = causal
        self.blocks = nn.ModuleList()
        for block in range(3):
            width = WIDTH if block == 0 else 6
            parts = nn.ModuleDict({"conv1": nn.Conv1d(width, 6, 3), "conv2": nn.Conv1d(6, 6, 3)})
            if block == 0:
                parts["downsample"] = nn.Conv1d(width, 6, 1)
            self.blocks.append(parts)

    def states(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for number, block in enumerate(self.blocks):
            dilation = 2**number
            left, right = (2 * dilation, 0) if self.causal else (dilation, dilation)
            h = unfolded(block["conv1"], x, left, right, dilation).relu()  # type: ignore[index]
            h = unfolded(block["conv2"], h, left, right, dilation).relu()  # type: ignore[index]
            x = (h + (x if number else unfolded(block["downsample"], x, 0, 0, 1))).relu()  # type: ignore[index]
        return x, x[-1]


class WindowedTextCNN(Text):
    """Filters of three widths, by windows."""

    def __init__(self, head: str, pooling: str) -> None:
        super().__init__(9, head, pooling)
        self.convs = nn.ModuleList(nn.Conv1d(WIDTH, 3, k) for k in (2, 3, 4))

    def states(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = []
        for conv in self.convs:
            reach = conv.kernel_size[0] - 1  # type: ignore[index,operator]
            maps.append(unfolded(conv, x, reach - reach // 2, reach // 2, 1).relu())  # type: ignore[arg-type]
        states = torch.cat(maps, 1)
        return states, states[-1]


def pairs() -> tuple[Tensor, Tensor, Tensor]:
    """Sources, which of their tokens are real, and targets."""
    target = torch.randint(0, VOCABULARY, (4, 5), generator=torch.Generator().manual_seed(1))
    return *sentences(), target


class PackedSeq2Seq(nn.Module):
    """Torch's LSTMs; source by source; the attention's scores pair by pair."""

    def __init__(self, attention: str, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH, padding_idx=0)
        self.encoder = nn.LSTM(WIDTH, 3, layers, bidirectional=True, batch_first=True)
        self.decoder = nn.LSTM(WIDTH, 6, layers, batch_first=True)
        self.bridge = nn.Linear(6, 2 * layers * 6)
        self.kind, self.layers = attention, layers
        if attention == "additive":
            parts = {"query": nn.Linear(6, 6, bias=False), "key": nn.Linear(6, 6), "score": nn.Linear(6, 1, bias=False)}
            self.attention = nn.ModuleDict(parts)
        if attention == "general":
            self.attention = nn.ModuleDict({"key": nn.Linear(6, 6, bias=False)})
        if attention != "none":
            self.combine = nn.Linear(12, 6, bias=False)
        self.head = nn.Linear(6, VOCABULARY)

    def forward(self, ids: Tensor, mask: Tensor, target: Tensor) -> Tensor:
        rows = []
        for sentence, real, written in zip(ids, mask, target):
            memory, (h, _) = self.encoder(self.embedding(sentence[real])[None])
            start = torch.tanh(self.bridge(torch.cat([h[-2], h[-1]], 1))).view(2, self.layers, 1, 6)
            states, _ = self.decoder(self.embedding(written)[None], (start[0], start[1]))
            rows.append(self.head(torch.stack([self.attended(state, memory[0]) for state in states[0]])))
        return torch.stack(rows)

    def attended(self, state: Tensor, memory: Tensor) -> Tensor:
        if self.kind == "none":
            return state
        scores = torch.stack([self.score(state, key) for key in memory])
        context = torch.einsum("s,sd->d", scores.exp() / scores.exp().sum(), memory)
        attended: Tensor = torch.tanh(self.combine(torch.cat([context, state])))
        return attended

    def score(self, state: Tensor, key: Tensor) -> Tensor:
        if self.kind == "dot":
            return state @ key
        if self.kind == "general":
            return state @ self.attention["key"](key)  # type: ignore[no-any-return]
        energy = torch.tanh(self.attention["query"](state) + self.attention["key"](key))
        return self.attention["score"](energy)[0]  # type: ignore[no-any-return]


class TorchTransformer(nn.Module):
    """``torch.nn.Transformer`` between an embedding and a head."""

    def __init__(self, norm_first: bool, tied: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8, padding_idx=0)
        options = {"dim_feedforward": 12, "dropout": 0.0, "batch_first": True, "norm_first": norm_first}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="enable_nested_tensor")  # it has no nested tensors with pre-norm
            whole = nn.Transformer(8, 2, 2, 3, **options)  # type: ignore[arg-type]
        whole.encoder.use_nested_tensor = False
        self.encoder, self.decoder = whole.encoder, whole.decoder
        self.head = nn.Linear(8, VOCABULARY, bias=False)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor, mask: Tensor, target: Tensor) -> Tensor:
        memory = self.encoder(self.embedded(ids), src_key_padding_mask=~mask)
        later = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool).triu(1)
        hidden = self.decoder(self.embedded(target), memory, tgt_mask=later, memory_key_padding_mask=~mask)
        logits: Tensor = self.head(hidden)
        return logits

    def embedded(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids) * math.sqrt(8)
        rows = [
            [(math.sin if i % 2 == 0 else math.cos)(p / 10_000 ** (i // 2 * 2 / 8)) for i in range(8)]
            for p in range(ids.shape[1])
        ]
        return x + torch.tensor(rows, dtype=x.dtype)  # type: ignore[no-any-return]


def ignored_mask(model: Any) -> None:
    model.recurrent.forward = lambda x, mask: Recurrent.forward(model.recurrent, x, None)


def last_position_for_both_directions(model: Any) -> None:
    model.last = lambda states, mask: states[torch.arange(4), torch.tensor(LENGTHS) - 1]


def forget_gate_for_input_gate(model: Any) -> None:
    with torch.no_grad():
        weight = model.recurrent.weight_ih_l0
        weight.copy_(weight.view(4, 5, -1)[[1, 0, 2, 3]].flatten(0, 1))


def unmasked_pool(model: Any) -> None:
    pool = model.pool
    pool.forward = lambda x, mask: type(pool).forward(pool, x, None)


def wrong_dilation(model: Any) -> None:
    model.blocks[1].conv2.dilation, model.blocks[1].conv2.sides = (1,), (2, 0)


def unmasked_blocks(model: Any) -> None:
    block = model.blocks[1]
    block.forward = lambda x, keep: type(block).forward(block, x, None)


def shifted_filters(model: Any) -> None:
    conv = model.convs[1]
    conv.forward = lambda x: type(conv).forward(conv, x) + 0.01


def attention_without_mask(model: Any) -> None:
    attention = model.attention
    attention.forward = lambda q, k, m, p: type(attention).forward(attention, q, k, None, p)


def context_behind_the_state(model: Any) -> None:
    with torch.no_grad():
        model.combine.weight.copy_(model.combine.weight.roll(6, 1))


def wrong_epsilon(model: Any) -> None:
    model.decoder.layers[1].norm2.eps = 1e-6


def norm_on_the_other_side(model: Any) -> None:
    layer = model.encoder.layers[0]
    layer.norm_first = not layer.norm_first


def unscaled_embedding(model: Any) -> None:
    model.d_model = 1


def sees_the_future(model: Any) -> None:
    decoder = model.decoder
    decoder.forward = lambda *args, **keywords: type(decoder).forward(decoder, *args, **keywords, causal=False)


def _text(
    model: str,
    variant: str,
    theirs: Callable[[], nn.Module],
    mutations: tuple[Callable[[Any], None], ...] = (),
    head: str = "classifier",
    **options: Any,
) -> Case:
    facts = {"vocab_size": VOCABULARY, "pad_token_id": 0, "num_classes": CLASSES, "head": head}
    return Case(
        model=model,
        reference=(theirs().__doc__ or "").strip().rstrip("."),
        ours=lambda: models.create(model, **facts, embedding_dim=WIDTH, **options),
        theirs=theirs,
        inputs=sentences,
        variant=variant,
        mutations=mutations,
        call_ours=lambda m, ids, mask: _real(m(ids, mask), mask),
        call_theirs=lambda m, ids, mask: _real(m(ids, mask), mask),
    )


def _real(output: Tensor, mask: Tensor) -> Tensor:
    """Scores of real tokens; what a head says of padding means nothing."""
    return output if output.dim() == 2 else output[mask]


def _lstm(cell: str, layers: int, both: bool, head: str, pooling: str, *mutations: Callable[[Any], None]) -> Case:
    kind: Any = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[cell]
    return _text(
        "lstm",
        f"{cell}-{layers}-{'both' if both else 'forward'}-{pooling if head == 'classifier' else head}",
        lambda: PackedText(kind, layers, both, head, pooling),
        mutations,
        head,
        hidden_size=5,
        num_layers=layers,
        bidirectional=both,
        cell=cell,
        pooling=pooling,
    )


def _seq2seq(attention: str, layers: int, *mutations: Callable[[Any], None]) -> Case:
    return Case(
        model="seq2seq",
        reference="torch.nn.LSTM, each source alone, attention pair by pair",
        ours=lambda: models.create(
            "seq2seq",
            vocab_size=VOCABULARY,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            embedding_dim=WIDTH,
            hidden_size=6,
            num_layers=layers,
            attention=attention,
        ),
        theirs=lambda: PackedSeq2Seq(attention, layers),
        inputs=pairs,
        variant=attention,
        mutations=mutations,
    )


def _transformer(norm_first: bool, tied: bool) -> Case:
    mutations: tuple[Callable[[Any], None], ...] = (wrong_epsilon, norm_on_the_other_side)
    return Case(
        model="transformer",
        reference="torch.nn.Transformer",
        ours=lambda: models.create(
            "transformer",
            vocab_size=VOCABULARY,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            d_model=8,
            nhead=2,
            num_decoder_layers=3,
            dim_feedforward=12,
            dropout=0.0,
            norm_first=norm_first,
            tie_weights=tied,
        ),
        theirs=lambda: TorchTransformer(norm_first, tied),
        inputs=pairs,
        variant="pre-norm" if norm_first else "post-norm",
        mutations=mutations if norm_first else (unscaled_embedding, sees_the_future),
    )


CASES = [
    _lstm("lstm", 2, True, "classifier", "last", ignored_mask, last_position_for_both_directions),
    _lstm("lstm", 1, False, "classifier", "last", forget_gate_for_input_gate),
    _lstm("gru", 2, True, "classifier", "max"),
    _lstm("rnn", 1, True, "classifier", "mean"),
    _lstm("lstm", 1, True, "classifier", "attention", unmasked_pool),
    _lstm("lstm", 2, True, "tagger", "last"),
    _lstm("gru", 1, False, "lm", "last"),
    _text("tcn", "causal-last", lambda: WindowedTCN(True, "classifier", "last"), (wrong_dilation,), channels=6,
          num_blocks=3, pooling="last"),
    _text("tcn", "both-sides-max", lambda: WindowedTCN(False, "classifier", "max"), (unmasked_blocks,), channels=6,
          num_blocks=3, causal=False, pooling="max"),
    _text("tcn", "lm", lambda: WindowedTCN(True, "lm", "last"), head="lm", channels=6, num_blocks=3),
    _text("textcnn", "max", lambda: WindowedTextCNN("classifier", "max"), (shifted_filters,), kernel_sizes=(2, 3, 4),
          channels=3, dropout=0.0),
    _text("textcnn", "tagger", lambda: WindowedTextCNN("tagger", "max"), head="tagger", kernel_sizes=(2, 3, 4),
          channels=3, dropout=0.0),
    _seq2seq("additive", 2, attention_without_mask, context_behind_the_state),
    _seq2seq("general", 1),
    _seq2seq("dot", 1),
    _seq2seq("none", 1),
    _transformer(norm_first=False, tied=True),
    _transformer(norm_first=True, tied=False),
]  # fmt: skip

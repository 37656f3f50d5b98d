"""The LSTM model: what each direction sees, streaming, the CRF, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from parity import relative

from lamplighter import models
from lamplighter.core.errors import LamplighterError
from lamplighter.core.signature import Column, Signature, TensorSpec

BIO = ("O", "B-PER", "I-PER")


def create(**options: Any) -> Any:
    facts = {"vocab_size": 20, "pad_token_id": 0, "num_classes": 3}
    return models.create("lstm", **(facts | {"embedding_dim": 8, "hidden_size": 6} | options)).eval()


def ids(rows: int = 2, length: int = 12) -> torch.Tensor:
    return torch.randint(1, 20, (rows, length), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_both_halves_of_the_features_have_read_the_whole_text(cell: str) -> None:
    """Taking the backward half at the last position, a common mistake, would leave it blind for the first token."""
    model = create(cell=cell, bidirectional=True)
    before, changed = ids(), ids()
    changed[:, 0] = changed[:, 0] % 19 + 1
    moved = (model.forward_features(changed) - model.forward_features(before)).abs()
    assert moved[:, 6:].max() > 1e-2 and moved[:, :6].max() > 1e-6
    changed = ids()
    changed[:, -1] = changed[:, -1] % 19 + 1
    moved = (model.forward_features(changed) - model.forward_features(before)).abs()
    assert moved[:, :6].max() > 1e-2 and moved[:, 6:].max() > 1e-6


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_language_model_does_not_see_the_future(cell: str) -> None:
    model = create(head="lm", cell=cell, num_layers=2)
    changed = ids()
    changed[:, 7:] = 3
    before, after = model(ids()), model(changed)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.equal(before[:, 7:], after[:, 7:])


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("head", ["lm", "tagger", "none"])
def test_pieces_with_the_carried_state_are_the_whole(head: str, cell: str) -> None:
    model = create(head=head, cell=cell, num_layers=2).double()
    state, pieces = None, []
    for piece in ids().split([1, 5, 4, 2], dim=1):
        output, state = model.step(piece, state)
        pieces.append(output)
    assert relative(torch.cat(pieces, 1), model(ids())) <= 1e-12


def test_what_cannot_stream_is_refused_by_name() -> None:
    with pytest.raises(LamplighterError, match="bidirectional model cannot stream"):
        create(head="tagger", bidirectional=True).step(ids())
    with pytest.raises(LamplighterError, match="a classifier answers for whole texts"):
        create().step(ids())


def test_combinations_that_make_no_sense_are_refused() -> None:
    with pytest.raises(LamplighterError, match="no head 'lm': a bidirectional network sees the token"):
        create(head="lm", bidirectional=True)
    with pytest.raises(LamplighterError, match="crf judges tags, but the head is 'classifier'"):
        create(crf=True)


def test_the_crf_knows_the_scheme_of_the_data() -> None:
    signature = Signature(
        inputs=(Column(name="text", kind="text"),),
        tensors=(TensorSpec(name="input_ids", dtype="int64", shape=(None,)),),
        targets=(Column(name="tags", kind="tags", categories=BIO),),
    )
    model = create(head="tagger", crf=True, signature=signature, bidirectional=True)
    logits = model(ids())
    logits[:, 0, 2] += 100
    path = model.crf.decode(logits)
    assert (logits.argmax(2)[:, 0] == 2).all() and (path[:, 0] != 2).all()
    assert create(head="tagger", crf=True).crf.allowed.all()


def test_a_tagger_trains_through_its_crf() -> None:
    """Tags alternate from the first on, which depends on the first word alone."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        words = torch.randint(1, 20, (64, 10))
        tags = torch.zeros_like(words)
        tags[:, 0] = words[:, 0] % 2
        for t in range(1, 10):
            tags[:, t] = 1 - tags[:, t - 1]  # alternates from the first word on
        model = models.create(
            "lstm",
            vocab_size=20,
            pad_token_id=0,
            num_classes=2,
            head="tagger",
            crf=True,
            embedding_dim=8,
            hidden_size=8,
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
        for _ in range(80):
            optimizer.zero_grad()
            loss = model.crf(model(words), tags).mean()
            loss.backward()
            optimizer.step()
        assert (model.crf.decode(model(words)) == tags).float().mean() > 0.99
        assert all(p.grad is not None for p in model.parameters())


def test_forget_bias_reaches_the_kernels() -> None:
    weights = dict(create(forget_bias=2.0, num_layers=2).named_parameters())
    for layer in (0, 1):
        total = weights[f"recurrent.bias_ih_l{layer}"] + weights[f"recurrent.bias_hh_l{layer}"]
        assert torch.equal(total.view(4, 6)[1], torch.full((6,), 2.0))

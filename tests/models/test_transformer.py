"""The encoder-decoder Transformer: its start, ties, sizes and positions. Steps, masks and export: test_seq2seq.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lamplighter import models
from lamplighter.core.errors import InputError, LamplighterError


def create(**options: Any) -> Any:
    facts = {"vocab_size": 17, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return models.create("transformer", **(facts | {"d_model": 16, "nhead": 2} | options)).eval()


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(LamplighterError, match=r"d_model is 16, which nhead \(3\) does not divide"):
        create(nhead=3)


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_more_tokens_than_positions_are_refused(positions: str) -> None:
    model = create(positions=positions, max_length=5)
    five, six = torch.full((1, 5), 3), torch.full((1, 6), 3)
    assert model(five, None, five).shape == (1, 5, 17)
    for source, target in ((six, five), (five, six)):
        with pytest.raises(InputError, match="6 tokens is longer than the 5 positions"):
            model(source, None, target)


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "alibi"])
def test_the_order_of_the_source_matters(positions: str) -> None:
    model = create(positions=positions)
    ids = torch.tensor([[3, 4, 5, 6]])
    assert not torch.allclose(model(ids, None, ids), model(ids.flip(1), None, ids))


def test_alibi_has_no_table_and_takes_any_length_step_by_step() -> None:
    model = create(positions="alibi", max_length=5)
    assert not any("positions" in name for name in model.state_dict())
    source, target = torch.randint(3, 17, (2, 9)), torch.randint(3, 17, (2, 8))
    mask = torch.arange(9) < torch.tensor([9, 6])[:, None]
    memory = model.encode(source, mask)
    whole = model.decode(target, memory, mask)
    carried = model.start(memory, mask)
    for step in range(8):
        logits, carried = model.step(target[:, step], carried)
        torch.testing.assert_close(logits, whole[:, step], rtol=1e-5, atol=1e-5)
    plain = create(positions="sinusoidal")
    plain.load_state_dict(model.state_dict())
    assert not torch.allclose(plain(source[:, :5], None, target[:, :5]), model(source[:, :5], None, target[:, :5]))


def test_a_tied_output_is_the_embedding() -> None:
    tied, apart = create(), create(tie_weights=False)
    assert tied.head.weight is tied.embedding.weight and apart.head.weight is not apart.embedding.weight
    saved = sum(p.numel() for p in apart.parameters()) - sum(p.numel() for p in tied.parameters())
    assert saved == 17 * 16


def test_starts_as_torchs_and_with_embeddings_as_large_as_positions() -> None:
    model = create(d_model=256, vocab_size=2000)
    layer = model.encoder.layers[0]
    bound = (6 / (256 + 512)) ** 0.5
    assert abs(layer.linear1.weight.std().item() / (bound / 3**0.5) - 1) < 0.02
    assert abs(model.embedding.weight[1:].std().item() * 256**0.5 - 1) < 0.02
    assert not model.embedding.weight[0].any()

"""What text models share: pooling, dropout of embeddings, tied heads, vectors from a file, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from parity import relative
from torch import nn

from lamplighter import models
from lamplighter.core.errors import LamplighterError, WeightsError

NAMES = ["lstm", "tcn", "textcnn"]


def create(name: str, **options: Any) -> Any:
    facts = {"vocab_size": 20, "pad_token_id": 0, "num_classes": 3}
    return models.create(name, **(facts | {"embedding_dim": 8} | options))


def sentences() -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.arange(9) < torch.tensor([9, 4, 1])[:, None]
    return torch.randint(1, 20, (3, 9), generator=torch.Generator().manual_seed(0)) * mask, mask


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
@pytest.mark.parametrize("name", NAMES)
def test_any_amount_of_padding_gives_the_same_in_float64(name: str, pooling: str) -> None:
    options: dict[str, Any] = {"lstm": {"bidirectional": True}, "tcn": {"causal": False}, "textcnn": {}}[name]
    model = create(name, pooling=pooling, **options).double().eval()
    ids, mask = sentences()
    expected = model(ids, mask)
    for more in (1, 20):
        longer = torch.cat([ids, torch.full((3, more), 5)], 1)
        found = model(longer, torch.cat([mask, torch.zeros(3, more, dtype=torch.bool)], 1))
        assert relative(found, expected) <= 1e-12
    for row, length in enumerate((9, 4, 1)):
        assert relative(model(ids[row : row + 1, :length]), expected[row : row + 1]) <= 1e-12


@pytest.mark.parametrize("name", ["tcn", "textcnn"])
def test_padding_may_stand_in_front_of_convolutions(name: str) -> None:
    model = create(name).double().eval()
    ids, mask = sentences()
    front = torch.stack([row.roll(9 - length) for row, length in zip(ids, (9, 4, 1))])
    assert relative(model(front, mask.flip(1)), model(ids, mask)) <= 1e-12


def test_padding_in_front_of_a_recurrent_network_is_refused() -> None:
    ids, mask = sentences()
    seq2seq = models.create("seq2seq", vocab_size=20, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    for call in (lambda: create("lstm")(ids, mask.flip(1)), lambda: seq2seq(ids, mask.flip(1), ids)):
        with pytest.raises(LamplighterError, match=r"row 1 .* padding before a real token"):
            call()


@pytest.mark.parametrize("name", NAMES)
def test_hidden_states_at_padding_are_zero(name: str) -> None:
    ids, mask = sentences()
    model = create(name, head="none").eval()
    states = model(ids, mask)
    assert not states[~mask].any() and states[mask].any(1).all()
    assert isinstance(model.head, nn.Identity)


@pytest.mark.parametrize("head", ["classifier", "tagger"])
@pytest.mark.parametrize("name", NAMES)
def test_trains_under_autocast(name: str, head: str) -> None:
    options: dict[str, Any] = {"crf": head == "tagger", "bidirectional": True} if name == "lstm" else {}
    model = create(name, head=head, pooling="attention", **options)
    ids, mask = sentences()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(ids, mask)
        loss = model.crf(logits, ids % 3, mask).mean() if getattr(model, "crf", None) else logits.float().logsumexp(-1)
    loss.sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_only_a_classifier_has_one_vector_for_a_text() -> None:
    with pytest.raises(LamplighterError, match="head 'tagger' reads each token"):
        create("lstm", head="tagger").forward_features(sentences()[0])


def test_embedding_dropout_takes_whole_tokens() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = create("lstm", embedding_dropout=0.5)
        ids = torch.randint(1, 20, (50, 40))
        dropped = model.train().embed(ids) == 0
        assert torch.equal(dropped.any(2), dropped.all(2))
        assert abs(dropped.float().mean() - 0.5) < 0.05
        kept = ~dropped.all(2)
        torch.testing.assert_close(model.embed(ids).mean(), model.embed(ids).mean(), rtol=5, atol=0.1)
        torch.testing.assert_close(model.train().embedding(ids)[kept] * 2, (model.embedding(ids) * 2)[kept])
        assert torch.equal(model.eval().embed(ids), model.embedding(ids))


@pytest.mark.parametrize("name", ["lstm", "tcn"])
def test_a_tied_head_is_the_embedding(name: str) -> None:
    width = {"lstm": {"hidden_size": 8}, "tcn": {"channels": 8}}[name]
    model = create(name, head="lm", tie_weights=True, **width)
    assert model.head.weight is model.embedding.weight
    assert model(sentences()[0]).shape == (3, 9, 20)
    for options in ({"head": "lm"}, {"head": "tagger", **width}):
        with pytest.raises(LamplighterError, match="tie_weights"):
            create(name, tie_weights=True, **options)


@pytest.mark.parametrize("name", NAMES)
def test_starts_with_vectors_from_a_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("cat " + " ".join(["0.5"] * 8) + "\ndog " + " ".join(["-1"] * 8) + "\n", encoding="utf-8")
    model = create(name, vectors=str(path), tokenizer={"cat": 3, "dog": 5, "bird": 6})
    assert model.embedding.weight[3].tolist() == [0.5] * 8 and model.embedding.weight[5].tolist() == [-1.0] * 8
    assert model.embedding.weight[6].std() > 0
    with pytest.raises(WeightsError, match="need the data's tokenizer"):
        create(name, vectors=str(path))


def test_a_tokenizer_knows_the_words_of_the_vectors(tmp_path: Path) -> None:
    from lamplighter.data.tokenization import training
    from lamplighter.data.tokenization.encoding import Encoder

    encoder = Encoder(training.train(["cat dog cat", "dog bird"], scheme="words", vocab_size=20))
    path = tmp_path / "vectors.txt"
    path.write_text("cat " + " ".join(["0.5"] * 8) + "\n", encoding="utf-8")
    model = create("lstm", vectors=str(path), tokenizer=encoder)
    assert model.embedding.weight[encoder.tokenizer.token_to_id("cat")].tolist() == [0.5] * 8

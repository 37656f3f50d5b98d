"""BERT beyond parity (tests/models/test_parity.py): segments, symmetry, half precision, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from parity import randomised, relative
from parity_transformers import BERT, VOCABULARY, reference_model, tokens

from lamplighter import models
from lamplighter.core.errors import InputError


def _bert(head: str = "none", **keywords: Any) -> Any:
    return models.create("bert", vocab_size=VOCABULARY, num_classes=3, head=head, **{**BERT, **keywords})


def test_segments_are_those_of_the_reference() -> None:
    reference = randomised(reference_model("BertModel", "BertConfig", **BERT).double()).eval()
    ours = _bert().double().eval()
    models.load_reference(ours, reference.state_dict())
    ids, mask = tokens()
    segments = (torch.arange(9) > 3).long().expand(3, 9)
    expected = reference(input_ids=ids, attention_mask=mask.long(), token_type_ids=segments)
    assert relative(ours.hidden(ids, mask, segments)[mask], expected.last_hidden_state[mask]) <= 1e-10
    assert relative(ours.pooled(ids, mask, segments), expected.pooler_output) <= 1e-10
    assert relative(ours(ids, mask), expected.last_hidden_state) > 1e-3


def test_without_positions_tokens_may_be_shuffled() -> None:
    model = randomised(_bert().double()).eval()
    model.bert.embeddings.position_embeddings.weight.data.zero_()
    ids, order = tokens()[0][:1], torch.tensor([4, 1, 8, 0, 2, 7, 3, 6, 5])
    assert relative(model(ids[:, order]), model(ids)[:, order]) <= 1e-10


def test_every_token_sees_both_sides() -> None:
    model = randomised(_bert().double()).eval()
    ids = tokens()[0][:1]
    before = model(ids)
    for position in (0, 4, 8):
        other = ids.clone()
        other[0, position] = (ids[0, position] + 1) % VOCABULARY
        assert ((model(other) - before).abs().amax(-1) > 1e-6).all()


@pytest.mark.parametrize("head", ["classifier", "tagger", "lm"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_padding_stays_finite_in_half_precision(dtype: torch.dtype, head: str) -> None:
    model = _bert(head).to(dtype)
    output = model(*tokens())
    assert output.dtype == dtype and torch.isfinite(output).all()
    output.float().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_the_matrix_of_the_masked_head_is_that_of_the_embeddings() -> None:
    model = _bert("lm")
    embeddings = model.bert.embeddings.word_embeddings.weight
    assert model.cls.predictions.decoder.weight is embeddings
    assert model.double().cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight
    names = [name for name, _ in model.named_parameters()]
    assert "cls.predictions.decoder.weight" not in names and "bert.pooler.dense.weight" not in names


def test_dropout_before_the_classifier_is_a_setting() -> None:
    ids, mask = tokens()
    for head in ("classifier", "tagger"):
        still, noisy = _bert(head, classifier_dropout=0.0).train(), _bert(head, classifier_dropout=0.5).train()
        assert torch.equal(still(ids, mask), still(ids, mask))
        assert not torch.equal(noisy(ids, mask), noisy(ids, mask))
        follows = _bert(head, hidden_dropout_prob=0.5)
        assert follows.dropout.p == 0.5


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="bert: width 24 is not divisible by 5 heads"):
        _bert(num_attention_heads=5)
    with pytest.raises(InputError, match=r"bert: a sequence of 17 tokens .* 16 positions .*max_position_embeddings"):
        _bert()(torch.ones(1, 17, dtype=torch.int64))

"""Perplexity against probabilities of transformers' model, and over batches of any lengths."""

from __future__ import annotations

import math

import pytest
import torch
from parity import randomised
from parity_transformers import GPT2, VOCABULARY, reference_model, tokens

from lamplighter import models
from lamplighter.models.generation import Surprise, surprise


def test_is_the_inverse_geometric_mean_of_the_probabilities() -> None:
    reference = randomised(reference_model("GPT2LMHeadModel", "GPT2Config", **GPT2).double()).eval()
    ours = models.create("gpt2", vocab_size=VOCABULARY, **GPT2).double().eval()
    models.load_reference(ours, reference.state_dict())
    ids, mask = tokens()
    found = surprise(ours, ids, mask)
    with torch.no_grad():
        logits = reference(input_ids=ids, attention_mask=mask.long()).logits
    likelihoods = [
        float(logits[row, at - 1].softmax(-1)[ids[row, at]])
        for row in range(3)
        for at in range(1, int(mask[row].sum()))
    ]
    assert found.tokens == len(likelihoods) == 8 + 4 + 1
    assert found.perplexity == pytest.approx(math.prod(likelihoods) ** (-1 / 13), rel=1e-10)
    left, left_mask = tokens(left=True)
    for row in range(3):
        length = int(mask[row].sum())
        left[row, left_mask[row]] = ids[row, :length]
    assert surprise(ours, left, left_mask).nll == pytest.approx(found.nll, rel=1e-10)


def test_batches_add_up() -> None:
    model = models.create("gpt2", vocab_size=VOCABULARY, **GPT2).eval()
    ids, mask = tokens()
    parts = [surprise(model, ids[i : i + 1, : int(mask[i].sum())]) for i in range(3)]
    total = parts[0] + parts[1] + parts[2]
    whole = surprise(model, ids, mask)
    assert total.tokens == whole.tokens and total.nll == pytest.approx(whole.nll, rel=1e-5)


def test_a_model_that_knows_nothing_is_as_surprised_as_the_vocabulary_is_large() -> None:
    model = models.create("gpt2", vocab_size=VOCABULARY, **GPT2)
    with torch.no_grad():
        model.transformer.wte.weight.zero_()
    assert surprise(model.eval(), tokens()[0]).perplexity == pytest.approx(VOCABULARY, rel=1e-6)
    assert math.isnan(Surprise(0.0, 0).perplexity)

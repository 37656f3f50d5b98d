"""Decoding a CRF in numpy: equal to trying every sequence, and to the CRF that was trained."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from lamplighter.bundle.runtime.chain import Chain, Decoder
from lamplighter.core.seeding import generator
from lamplighter.nn.crf import CRF

RNG = generator(0, "chain")


def chain(tags: int) -> Chain:
    numbers = RNG.normal(size=(tags + 2, tags))
    return Chain(start=tuple(numbers[0]), end=tuple(numbers[1]), transitions=tuple(map(tuple, numbers[2:])))


def by_hand(own: Chain, x: np.ndarray) -> tuple[tuple[int, ...], np.ndarray]:
    """The best of all sequences, and the marginals from all their probabilities."""
    sequences = list(itertools.product(range(x.shape[1]), repeat=len(x)))
    scores = []
    for tags in sequences:
        score = own.start[tags[0]] + own.end[tags[-1]] + sum(x[t, tag] for t, tag in enumerate(tags))
        scores.append(score + sum(own.transitions[a][b] for a, b in itertools.pairwise(tags)))
    probabilities = np.exp(np.array(scores) - np.max(scores))
    probabilities /= probabilities.sum()
    marginals = np.zeros(x.shape)
    for tags, p in zip(sequences, probabilities):
        for t, tag in enumerate(tags):
            marginals[t, tag] += p
    return sequences[int(np.argmax(scores))], marginals


@pytest.mark.parametrize("length", [1, 2, 5])
def test_equal_to_trying_every_sequence(length: int) -> None:
    for _ in range(5):
        own, x = chain(3), RNG.normal(size=(length, 3)) * 2
        best, marginals = by_hand(own, x)
        assert tuple(Decoder(own).best(x).tolist()) == best
        np.testing.assert_allclose(Decoder(own).marginals(x), marginals, atol=1e-6)  # the scores are float32


def test_equal_to_the_crf_that_was_trained() -> None:
    labels = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    crf = CRF(5, labels)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    decoder = Decoder(Chain.model_validate(crf.settings()))
    x = torch.randn(40, 9, 5, generator=torch.Generator().manual_seed(0)) * 2
    best, marginals = crf.decode(x), crf.marginals(x).detach()
    for row, wanted, shares in zip(x.numpy(), best.numpy(), marginals.numpy()):
        np.testing.assert_array_equal(decoder.best(row), wanted)
        np.testing.assert_allclose(decoder.marginals(row), shares, atol=1e-5)
    assert all(labels[tags[0]] not in ("I-PER", "I-LOC") for tags in best.tolist())


@pytest.mark.parametrize(
    "broken",
    [
        {"end": [0.0]},
        {"transitions": [[0.0, 0.0]]},
        {"transitions": [[0.0], [0.0]]},
        {"start": [0.0, float("nan")]},
        {"start": []},
        {"more": 1},
    ],
)
def test_broken_settings_are_refused(broken: dict[str, Any]) -> None:
    whole = {"start": [0.0, 0.0], "end": [0.0, 0.0], "transitions": [[0.0, 0.0], [0.0, 0.0]]}
    Chain.model_validate(whole)
    with pytest.raises(ValidationError):
        Chain.model_validate({**whole, **broken})

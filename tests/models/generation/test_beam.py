"""Beam search against every sequence there is, against greedy search, and row by row."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from lamplighter import models
from lamplighter.core.errors import LamplighterError
from lamplighter.models.generation.beam import beam_search
from lamplighter.models.generation.seq2seq import greedy

FACTS = {"vocab_size": 6, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
OPTIONS: dict[str, dict[str, Any]] = {
    "seq2seq": {"embedding_dim": 8, "hidden_size": 12},
    "transformer": {"d_model": 8, "nhead": 2, "dim_feedforward": 16},
}
LIMIT = 4


def create(name: str, seed: int = 0) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = models.create(name, **FACTS, **OPTIONS[name]).double().eval()
        for parameter in model.parameters():
            parameter.data.mul_(2.0)
    return model


def sources(rows: int = 3) -> tuple[Tensor, Tensor]:
    mask = torch.arange(5) < torch.tensor([5, 3, 1, 4, 2])[:rows, None]
    return torch.randint(3, 6, (rows, 5), generator=torch.Generator().manual_seed(1)) * mask, mask


def log_p(model: Any, ids: Tensor, sequence: tuple[int, ...]) -> float:
    logits = model(ids, None, torch.tensor([[1, *sequence[:-1]]]))[0]
    return float(logits.log_softmax(1).gather(1, torch.tensor(sequence)[:, None]).sum().detach())


def every_sequence() -> list[tuple[int, ...]]:
    """All that can be written of tokens 3, 4, 5: up to the end token 2, or cut off at the limit."""
    found = []
    for length in range(LIMIT + 1):
        for tokens in itertools.product((3, 4, 5), repeat=length):
            found.append(tokens if length == LIMIT else (*tokens, 2))
    return found


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("name", ["seq2seq", "transformer"])
def test_a_wide_beam_finds_the_best_of_all_sequences(name: str, penalty: float) -> None:
    """121 sequences; with as many beams nothing is left out, and their scores are those of whole passes, in order."""
    model = create(name)
    ids, mask = sources()
    everything = every_sequence()
    assert len(everything) == 121
    beams = beam_search(model, ids, mask, num_beams=121, length_penalty=penalty, max_new_tokens=LIMIT)
    for row in range(3):
        source = ids[row : row + 1, : int(mask[row].sum())]
        scores = {sequence: log_p(model, source, sequence) / len(sequence) ** penalty for sequence in everything}
        ranked = sorted(scores, key=lambda sequence: -scores[sequence])
        for place, sequence in enumerate(ranked):
            padded = [*sequence, *[0] * (LIMIT - len(sequence))]
            assert beams.scores[row, place].item() == pytest.approx(scores[sequence], rel=1e-9)
            assert beams.sequences[row, place].tolist() == padded
        assert beams.best[row].tolist() == beams.sequences[row, 0].tolist()


@pytest.mark.parametrize("name", ["seq2seq", "transformer"])
@pytest.mark.parametrize("seed", range(4))
def test_one_beam_is_greedy_search(name: str, seed: int) -> None:
    model = create(name, seed)
    ids, mask = sources(5)
    found, expected = beam_search(model, ids, mask, num_beams=1, max_new_tokens=9).best, greedy(model, ids, mask, 9)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("name", ["seq2seq", "transformer"])
def test_a_row_does_not_depend_on_its_batch(name: str) -> None:
    model = create(name)
    ids, mask = sources(5)
    together = beam_search(model, ids, mask, num_beams=3, max_new_tokens=8)
    for row in range(5):
        alone = beam_search(model, ids[row : row + 1], mask[row : row + 1], num_beams=3, max_new_tokens=8)
        width = alone.sequences.shape[2]
        assert torch.equal(together.sequences[row, :, :width], alone.sequences[0])
        assert not together.sequences[row, :, width:].any()
        torch.testing.assert_close(together.scores[row], alone.scores[0], rtol=1e-12, atol=0)


@pytest.mark.parametrize("seed", range(6))
def test_more_beams_find_no_worse_and_sometimes_better(seed: int) -> None:
    """Scores are the model's own: log p of the sequence by whole passes."""
    model = create("seq2seq", seed)
    ids, mask = sources(5)
    beams = beam_search(model, ids, mask, num_beams=5, length_penalty=0.0, max_new_tokens=6)
    one = beam_search(model, ids, mask, num_beams=1, length_penalty=0.0, max_new_tokens=6)
    for row in range(5):
        length = int((beams.best[row] != 0).sum())
        source = ids[row : row + 1, : int(mask[row].sum())]
        assert beams.scores[row, 0].item() == pytest.approx(
            log_p(model, source, tuple(beams.best[row, :length].tolist())), rel=1e-9
        )
        assert beams.scores[row, 0] >= one.scores[row, 0] - 1e-12


def test_a_larger_penalty_favours_longer_sequences() -> None:
    ids, mask = sources(5)
    lengths = []
    for penalty in (-1.0, 0.0, 3.0):
        found = [beam_search(create("seq2seq", seed), ids, mask, 8, penalty, 6).best for seed in range(4)]
        lengths.append(sum(int((best != 0).sum()) for best in found))
    assert lengths[0] <= lengths[1] < lengths[2]


def test_hypotheses_that_have_ended_stay_as_they_are() -> None:
    """Where the end is nearly certain, all beams end at once and nothing stands behind an end token."""
    model = create("seq2seq")
    with torch.no_grad():
        model.head.bias[2] += 3.0
    beams = beam_search(model, *sources(5), num_beams=4, max_new_tokens=12)
    assert torch.isfinite(beams.scores).all()
    assert (beams.scores[:, :-1] >= beams.scores[:, 1:]).all()
    for sequence in beams.sequences.flatten(0, 1).tolist():
        if 2 in sequence:
            assert not any(sequence[sequence.index(2) + 1 :])


def test_fewer_sequences_than_beams() -> None:
    """One token may be written: four sequences exist, and 50 beams do not invent more."""
    beams = beam_search(create("seq2seq"), *sources(), num_beams=50, max_new_tokens=1)
    assert torch.isfinite(beams.scores).sum(1).tolist() == [4, 4, 4]
    assert sorted(beams.sequences[0, :4, 0].tolist()) == [2, 3, 4, 5]
    assert not beams.sequences[:, 4:].any()
    assert beams.scores[0, :4].exp().sum() < 1 - 1e-6  # padding and the begin token have the rest
    assert math.isinf(float(beams.scores[0, 4]))


def test_numbers_that_make_no_sense_are_refused() -> None:
    for options, complaint in (({"num_beams": 0}, "num_beams is 0"), ({"max_new_tokens": 0}, "max_new_tokens is 0")):
        with pytest.raises(LamplighterError, match=complaint):
            beam_search(create("seq2seq"), *sources(), **options)

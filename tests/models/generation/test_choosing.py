"""Tokens are drawn with the probabilities they have, each row by itself."""

from __future__ import annotations

import torch

from lamplighter.models.generation.choosing import Chooser, draw
from lamplighter.models.generation.settings import GenerationSettings

LOGITS = torch.tensor([[0.0, 1.0, 2.0, -1.0], [3.0, 0.0, 0.0, 0.0]])


def _tokens(settings: GenerationSettings, logits: torch.Tensor, steps: int) -> torch.Tensor:
    choose = Chooser(settings, torch.zeros(len(logits), 1, dtype=torch.int64), None, logits.shape[1])
    return torch.stack([choose(logits) for _ in range(steps)], 1)


def test_frequencies_are_the_softmax() -> None:
    tokens = _tokens(GenerationSettings(do_sample=True, temperature=0.7, seed=0), LOGITS, 4000)
    for row, expected in zip(tokens, (LOGITS / 0.7).softmax(-1)):
        share = torch.bincount(row, minlength=4) / 4000
        assert ((share - expected).abs() < 4 * (expected * (1 - expected) / 4000).sqrt() + 1e-6).all()


def test_a_row_draws_the_same_alone_and_in_a_batch() -> None:
    settings = GenerationSettings(do_sample=True, seed=5)
    alone = _tokens(settings, LOGITS[:1], 50)
    together = _tokens(settings, LOGITS[[0, 1, 0]], 50)
    assert torch.equal(alone[0], together[0])
    assert not torch.equal(together[0], together[2]), "rows with one distribution must not draw alike"


def test_seeds_repeat_and_differ_and_none_is_new_each_time() -> None:
    logits = torch.zeros(1, 1000)
    first, again, other = (_tokens(GenerationSettings(do_sample=True, seed=s), logits, 20) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    a, b = (_tokens(GenerationSettings(do_sample=True), logits, 20) for _ in range(2))
    assert not torch.equal(a, b)


def test_the_penalty_counts_prompt_and_output_but_not_padding() -> None:
    choose = Chooser(
        GenerationSettings(repetition_penalty=10.0),
        torch.tensor([[0, 1]]),
        torch.tensor([[False, True]]),
        4,
    )
    logits = torch.tensor([[2.0, 3.0, 1.0, 0.5]])
    assert [int(choose(logits)) for _ in range(4)] == [0, 2, 3, 1], "0 is padding, not yet said"


def test_filters_apply_before_drawing() -> None:
    for settings in (
        GenerationSettings(do_sample=True, top_k=1, seed=0),
        GenerationSettings(do_sample=True, top_p=0.01, seed=0),
    ):
        assert torch.equal(_tokens(settings, LOGITS, 30), torch.tensor([[2], [0]]).expand(2, 30))


def test_tokens_without_probability_are_never_drawn() -> None:
    probabilities = torch.tensor([[0.0, 0.5, 0.5, 0.0]], dtype=torch.float64).expand(3, 4)
    almost_one = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0)).double()
    assert draw(
        probabilities, torch.stack([torch.zeros(()).double(), torch.tensor(0.5).double(), almost_one])
    ).tolist() == [1, 2, 2]
    half = torch.full((1, 3), 1 / 3, dtype=torch.float16) * torch.tensor([1, 1, 0])
    assert int(draw(half, torch.tensor([0.9999], dtype=torch.float16))) == 1


def test_half_precision_scores_are_drawn_in_single() -> None:
    tokens = _tokens(GenerationSettings(do_sample=True, seed=0), LOGITS.bfloat16(), 500)
    assert torch.equal(tokens, _tokens(GenerationSettings(do_sample=True, seed=0), LOGITS, 500))

"""Rows end at single tokens and at sequences."""

from __future__ import annotations

import torch

from lamplighter.models.generation.stopping import StopRule


def _run(endings: list[tuple[int, ...]], rows: list[list[int]]) -> list[list[bool]]:
    rule = StopRule(endings, len(rows))
    return torch.stack([rule(tokens) for tokens in torch.tensor(rows).T], 1).tolist()


def test_a_sequence_must_be_whole_and_in_order() -> None:
    found = _run([(1, 2, 3)], [[1, 2, 3, 9], [3, 2, 1, 3], [1, 1, 2, 3], [2, 3, 1, 2]])
    assert found == [
        [False, False, True, True],
        [False, False, False, False],
        [False, False, False, True],
        [False, False, False, False],
    ]


def test_any_of_several_ends_a_row_and_it_stays_ended() -> None:
    assert _run([(4,), (5, 6)], [[4, 0, 0], [5, 6, 0], [6, 5, 0]]) == [
        [True, True, True], [False, True, True], [False, False, False],
    ]  # fmt: skip


def test_without_endings_no_row_ends() -> None:
    assert _run([], [[1, 2]]) == [[False, False]]

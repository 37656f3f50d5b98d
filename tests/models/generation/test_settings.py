"""Settings refuse what makes no sense, and name it."""

from __future__ import annotations

from typing import Any

import pytest

from lamplighter.core.errors import LamplighterError
from lamplighter.models.generation import GenerationSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_new_tokens": 0},
        {"temperature": 0.0},
        {"top_k": 0},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"repetition_penalty": 0.0},
        {"stop": [[]]},
        {"seed": -1},
    ],
)
def test_values_out_of_range_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(LamplighterError, match=f"generate: {next(iter(wrong))} is .*must be"):
        GenerationSettings(**wrong)


def test_endings_are_single_tokens_and_sequences() -> None:
    assert GenerationSettings(eos_token_id=7, stop=[[1, 2]]).endings == ((7,), (1, 2))
    assert GenerationSettings(eos_token_id=[7, 8]).endings == ((7,), (8,))
    assert GenerationSettings().endings == ()

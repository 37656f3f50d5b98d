"""A score travels as JSON and does not change."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lamplighter.metrics.score import Score


def test_a_score_survives_json_and_is_frozen() -> None:
    score = Score(value=0.1 + 0.2, n=3, low=0.1, high=0.5)
    assert Score.model_validate_json(score.model_dump_json()) == score
    with pytest.raises(ValidationError):
        score.value = 1.0  # type: ignore[misc]


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError):
        Score.model_validate({"value": 1, "n": 1, "low": 0, "high": 1, "p": 0.5})

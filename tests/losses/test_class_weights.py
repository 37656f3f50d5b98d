"""Class weights against scikit-learn and the paper's formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from sklearn.utils.class_weight import compute_class_weight

from lamplighter.core.errors import RecipeError
from lamplighter.losses.class_weights import (
    ClassWeights,
    EffectiveNumber,
    balanced,
    effective_number,
    resolve_weights,
)

COUNTS = [5000, 320, 17, 1]


def test_balanced_equals_scikit_learn() -> None:
    y = np.repeat(np.arange(4), COUNTS)
    expected = compute_class_weight("balanced", classes=np.arange(4), y=y)
    np.testing.assert_allclose(balanced(COUNTS), expected, rtol=1e-14)


def test_a_class_without_rows_weighs_nothing_and_is_not_counted() -> None:
    assert balanced([30, 0, 10]) == (*balanced([30, 10])[:1], 0.0, *balanced([30, 10])[1:])
    assert effective_number([30, 0, 10], 0.9)[1] == 0.0


@pytest.mark.parametrize("beta", [0.9, 0.99, 0.9999])
def test_effective_number_is_the_papers_up_to_the_scale(beta: float) -> None:
    raw = np.array([(1 - beta) / (1 - beta**n) for n in COUNTS])
    paper = raw / raw.sum() * 4
    ours = np.array(effective_number(COUNTS, beta))
    np.testing.assert_allclose(ours / ours.sum() * 4, paper, rtol=1e-9)
    assert np.average(ours, weights=COUNTS) == pytest.approx(1)


def test_beta_leads_from_no_weights_to_balanced() -> None:
    assert effective_number(COUNTS, 0.0) == (1.0,) * 4
    np.testing.assert_allclose(effective_number(COUNTS, 1 - 1e-12), balanced(COUNTS), rtol=1e-6)
    between = effective_number(COUNTS, 0.99)
    assert 1 < between[3] / between[0] < balanced(COUNTS)[3] / balanced(COUNTS)[0]


def test_what_a_recipe_says_becomes_numbers() -> None:
    assert resolve_weights(None, COUNTS, 4) is None
    assert resolve_weights("balanced", COUNTS, 4) == balanced(COUNTS)
    given = EffectiveNumber(name="effective-number", beta=0.9)
    assert resolve_weights(given, COUNTS, 4) == effective_number(COUNTS, 0.9)
    assert resolve_weights((1, 2.5, 0), None, 3) == (1.0, 2.5, 0.0)


@pytest.mark.parametrize(
    ("weights", "counts", "words"),
    [
        ("balanced", None, "does not keep its targets in memory; give a list of numbers"),
        ((1.0, 2.0), COUNTS, r"\[1\.0, 2\.0\] for 4 classes; one number each"),
        ((0.0, 0.0, 0.0, 0.0), COUNTS, "not all of them 0"),
    ],
)
def test_what_cannot_be_is_explained(weights: Any, counts: Any, words: str) -> None:
    with pytest.raises(RecipeError, match=f"task.class_weights: .*{words}"):
        resolve_weights(weights, counts, 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"balancd"', "must be balanced, {name: effective-number"),
        ("3", "must be balanced"),
        ("[1, -1]", "greater than or equal to 0"),
        ('{"name": "effective-number", "beta": 1}', "less than 1"),
        ('{"name": "effective-number", "bta": 0.5}', "Extra inputs"),
    ],
)
def test_what_a_recipe_may_not_say(text: str, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(ClassWeights).validate_json(text, strict=True)
    assert words in str(caught.value)
    assert len(caught.value.errors()) == 1

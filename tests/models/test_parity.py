"""The parity matrix: every registered model beside an independent implementation with the same weights.

Outputs in both modes, every gradient, and every buffer after a step, in float64 with everything random. A family's cases
are in ``tests/support/parity_<family>.py``; ``python docs/parity.py`` measures them all and writes the table of the docs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import parity_mobilenet
import parity_resnet
import parity_transformers
from lamplighter.core.catalog import CATALOG
from parity import LIMIT, Case, pair, worst

CASES: list[Case] = [*parity_resnet.CASES, *parity_mobilenet.CASES, *parity_transformers.CASES]

OWN = {
    "cnn": "a small network of our own; its layers are proven one by one",
    "mlp": "held against matrices in tests/models/test_mlp.py",
    "own": "the caller's network",
}
"""Registered models without a reference, and why."""


def _params(cases: list[Case]) -> list[Any]:
    return [pytest.param(case, id=case.id, marks=[pytest.mark.slow] if case.slow else []) for case in cases]


def test_every_registered_model_is_in_the_matrix() -> None:
    assert {case.model for case in CASES} | set(OWN) == set(CATALOG["model"])
    assert len({case.id for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", _params(CASES))
def test_equals_its_reference(case: Case) -> None:
    found = worst(*pair(case), case.inputs(), case.call_ours, case.call_theirs, case.train)
    assert max(found.values()) <= LIMIT, found


MUTATIONS = [(case, mutate) for case in CASES for mutate in case.mutations]


@pytest.mark.parametrize(
    ("case", "mutate"), [pytest.param(c, m, id=f"{c.id}-{getattr(m, '__name__', 'mutation')}") for c, m in MUTATIONS]
)
def test_the_matrix_sees_a_plausible_mistake(case: Case, mutate: Callable[[Any], None]) -> None:
    ours, reference = pair(case)
    mutate(ours)
    found = worst(ours, reference, case.inputs(), case.call_ours, case.call_theirs, case.train)
    assert max(found.values()) > 100 * LIMIT, found

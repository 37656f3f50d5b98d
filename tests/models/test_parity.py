"""The parity matrix: every registered model beside an independent implementation with the same weights.

Outputs in both modes, every gradient, and every buffer after a step, in float64 with everything random. The cases of a
family are in ``tests/support/parity_<family>.py``; ``python docs/parity.py`` measures them and writes the docs' table.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parity import LIMIT, Case, pair, worst
from parity_cases import CASES

from lamplighter.core.catalog import CATALOG

DOCS = Path(__file__).parent.parent.parent / "docs"
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


def test_the_table_of_the_docs_has_every_case() -> None:
    spec = importlib.util.spec_from_file_location("docs_parity", DOCS / "parity.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = script.PAGE.read_text(encoding="utf-8")
    assert sorted(script.rows_of(page)) == sorted(map(script.key, CASES)), "run: python docs/parity.py"

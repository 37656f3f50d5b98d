"""``manifest.json`` accepts what is right and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from lamplighter.bundle.manifest import Manifest, Output
from lamplighter.bundle.runtime import Bundle


def test_it_survives_json(linear_bundle: Bundle) -> None:
    manifest = linear_bundle.manifest
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest


@pytest.mark.parametrize("change", [{"surprise": 1}, {"format_version": "one"}, {"labels": []}, {"parity": None}])
def test_unknown_keys_and_wrong_types_are_refused(linear_bundle: Bundle, change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Manifest.model_validate({**linear_bundle.manifest.model_dump(mode="json"), **change})


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_that_cannot_divide_is_refused(temperature: float) -> None:
    with pytest.raises(ValidationError):
        Output(kind="classification", labels=("a", "b"), temperature=temperature)


def test_a_threshold_is_for_two_classes() -> None:
    two = Output(kind="classification", labels=("a", "b"), threshold=0.3, positive=0)
    assert Output.model_validate_json(two.model_dump_json()) == two
    for labels in (("a",), ("a", "b", "c")):
        with pytest.raises(ValidationError, match="between two classes"):
            Output(kind="classification", labels=labels, threshold=0.3)
    with pytest.raises(ValidationError, match="between two classes"):
        Output(kind="regression", targets=("x", "y"), threshold=0.3)
    for threshold in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValidationError):
            Output(kind="classification", labels=("a", "b"), threshold=threshold)


def test_classes_are_the_likeliest_or_by_the_threshold_alike_in_float32() -> None:
    p = np.random.default_rng(0).dirichlet([1, 1], size=5000)
    usual = Output(kind="classification", labels=("a", "b"))
    assert np.array_equal(usual.classes(p), p.argmax(axis=1))
    for positive in (0, 1):
        tuned = Output(kind="classification", labels=("a", "b"), threshold=float(p[7, positive]), positive=positive)
        assert np.array_equal(tuned.classes(p), tuned.classes(p.astype(np.float32)))
        assert tuned.classes(p)[7] == positive  # at the threshold itself: yes
        below = p[:, positive] < p[7, positive] - 1e-6
        assert (tuned.classes(p)[below] == 1 - positive).all()

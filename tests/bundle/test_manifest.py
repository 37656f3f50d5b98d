"""``manifest.json`` accepts what is right and nothing else."""

from __future__ import annotations

from typing import Any

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

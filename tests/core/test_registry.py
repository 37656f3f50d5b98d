"""Registry: schemas from constructors, values from data, users' own components, clear errors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from lamplighter.core import registry
from lamplighter.core.errors import LamplighterError, UnknownComponentError
from lamplighter.core.registry import FromData


class Example:
    """A component for these tests.

    Args:
        in_features: filled in.
        width: how wide it is,
            on two lines.
        mode: a choice.
        sizes: several numbers.
    """

    def __init__(
        self,
        in_features: Annotated[int, FromData],
        width: Annotated[int, Field(gt=0)] = 8,
        mode: Literal["a", "b"] = "a",
        sizes: tuple[int, ...] = (1, 2),
    ) -> None:
        self.values = (in_features, width, mode, sizes)


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(registry, "_USER", {})
    registry.register("model", "example")(Example)
    return "example"


def test_schema_is_derived_from_the_constructor(example: str) -> None:
    fields = registry.schema("model", example).model_fields
    assert list(fields) == ["width", "mode", "sizes"]
    assert fields["width"].description == "how wide it is, on two lines."


def test_build_fills_in_facts_and_turns_lists_into_tuples(example: str) -> None:
    built = registry.build("model", example, {"sizes": [3, 4]}, {"in_features": 5, "unused": 1})
    assert built.values == (5, 8, "a", (3, 4))


def test_build_without_the_fact_names_it(example: str) -> None:
    with pytest.raises(LamplighterError, match="needs 'in_features' \\(int\\), which this data does not have"):
        registry.build("model", example, {}, {})


@pytest.mark.parametrize(
    "params", [{"width": 0}, {"width": "8"}, {"width": True}, {"mode": "c"}, {"in_features": 3}, {"sizes": 3}]
)
def test_validation_is_strict(example: str, params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        registry.validate("model", example, params)
    with pytest.raises(LamplighterError, match="model 'example'"):
        registry.build("model", example, params, {"in_features": 1})


def test_register_refuses_what_cannot_work(example: str) -> None:
    def untyped(x) -> None: ...  # type: ignore[no-untyped-def]

    def greedy(*args: int) -> None: ...

    for component, message in ((untyped, "has no type hint"), (greedy, "no \\*args")):
        with pytest.raises(LamplighterError, match=message):
            registry.register("model", "other")(component)
    with pytest.raises(LamplighterError, match="already registered"):
        registry.register("model", "mlp")(Example)
    with pytest.raises(LamplighterError, match="lower-case"):
        registry.register("model", "Bad Name")
    with pytest.raises(UnknownComponentError, match="unknown kind"):
        registry.register("modell", "x")


def test_unknown_names_give_the_nearest() -> None:
    with pytest.raises(UnknownComponentError, match="did you mean 'cnn'"):
        registry.get("model", "cnnn")


def test_user_modules_are_imported_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_USER", {})
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_registry_test.py").write_text(
        "from lamplighter.core.registry import register\n"
        "@register('schedule', 'half')\n"
        "def half(factor: float = 0.5) -> object:\n    return lambda step: factor\n"
    )
    registry.import_user_modules(["mine_registry_test"])
    assert registry.build("schedule", "half", {})(3) == 0.5
    assert "half" in registry.names("schedule")
    with pytest.raises(LamplighterError, match="no such module"):
        registry.import_user_modules(["nothing_of_that_name"])

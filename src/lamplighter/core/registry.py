"""Finds components by kind and name, and derives the schema of each from its constructor.

A component is a class or a function whose parameters all have type hints. Its schema is a pydantic model made of those
hints and defaults, so nothing is written twice; bounds go into ``Annotated[float, Field(gt=0)]``. A parameter marked
``Annotated[int, FromData]`` is absent from recipes: the data, or the run, fills it in.

>>> from lamplighter.core.registry import names
>>> "mlp" in names("model")
True
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from lamplighter.core import extras
from lamplighter.core.catalog import CATALOG
from lamplighter.core.errors import LamplighterError, UnknownComponentError

ENTRY_POINT_GROUP = "lamplighter.components"
_USER: dict[str, dict[str, Any]] = {}
_C = typing.TypeVar("_C", bound=Callable[..., Any])


class _FromData:
    """Marker type of `FromData`."""

    def __repr__(self) -> str:
        return "FromData"


FromData = _FromData()
"""Marks a constructor parameter that no recipe may set: ``in_channels: Annotated[int, FromData]``."""


def register(kind: str, name: str) -> Callable[[_C], _C]:
    """Add a component of one's own under ``kind`` and ``name``; use as a decorator in a module given to ``--import``.

    Args:
        kind: one of ``lamplighter.core.catalog.CATALOG``'s keys.
        name: lower-case words joined by hyphens; must be free.

    Raises:
        LamplighterError: unknown kind, malformed or taken name, or a constructor without type hints.
    """
    _check_kind(kind)
    if not re.fullmatch(r"[a-z0-9]+([-_][a-z0-9]+)*", name):
        raise LamplighterError(f"component name '{name}': use lower-case words joined by hyphens")

    def add(component: _C) -> _C:
        present = _USER.get(kind, {}).get(name)
        same = present is not None and _origin(present) == _origin(component)
        if name in CATALOG[kind] or (present is not None and not same):
            raise LamplighterError(f"{kind} '{name}' is already registered; choose another name")
        _schema_of(component)
        _USER.setdefault(kind, {})[name] = component
        return component

    return add


def import_user_modules(modules: list[str]) -> None:
    """Import modules named on the command line (``--import my_pkg.mod``) so that they can `register` components.

    Names come from the command line or from installed entry points only, never from data.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name and module.startswith(error.name):
                raise LamplighterError(
                    f"--import {module}: no such module; run from the folder that holds it or install its package"
                ) from None
            raise


def kinds() -> list[str]:
    """All kinds of components, sorted."""
    return sorted(CATALOG)


def names(kind: str) -> list[str]:
    """Names of all components of a kind, built-in and user's, sorted. Imports no built-in one."""
    _check_kind(kind)
    _load_entry_points()
    return sorted({*CATALOG[kind], *_USER.get(kind, {})})


def get(kind: str, name: str) -> Callable[..., Any]:
    """The class or function registered under ``kind`` and ``name``.

    Raises:
        UnknownComponentError: with the nearest name.
        MissingExtraError: when its module needs a package that is not installed.
    """
    _check_kind(kind)
    if name not in CATALOG[kind] and name not in _USER.get(kind, {}):
        _load_entry_points()
    if name in _USER.get(kind, {}):
        found: Callable[..., Any] = _USER[kind][name]
        return found
    target = CATALOG[kind].get(name)
    if target is None:
        raise UnknownComponentError(
            f"unknown {kind} '{name}'{did_you_mean(name, names(kind))}; known: {', '.join(names(kind))}"
        )
    module, _, attribute = target.partition(":")
    try:
        return typing.cast(Callable[..., Any], getattr(importlib.import_module(module), attribute))
    except ModuleNotFoundError as error:
        missing = extras.explained(error)
        if missing is None:
            raise
        raise missing from error


def schema(kind: str, name: str) -> type[BaseModel]:
    """The pydantic model of what a recipe may say about a component (without ``name``)."""
    return _schema_of(get(kind, name))


def parameters_from_data(component: Callable[..., Any]) -> list[str]:
    """Names of the parameters marked `FromData`."""
    return [name for name, hint in _hints(component).items() if _is_from_data(hint)]


def validate(kind: str, name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Check parameters as they come from YAML or JSON; fill in defaults.

    Validation is strict: text is not turned into numbers, ``no`` is not False. Lists become tuples where the hint
    says so.

    Raises:
        pydantic.ValidationError: for the recipe loader to turn into lines.
    """
    model = schema(kind, name).model_validate_json(json.dumps(dict(params), default=str), strict=True)
    return {field: getattr(model, field) for field in type(model).model_fields}


def build(kind: str, name: str, params: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> Any:
    """Construct a component.

    Args:
        kind: for instance ``"model"``.
        name: as in the recipe.
        params: what the recipe says.
        facts: values for parameters marked `FromData`; those the component does not ask for are ignored.

    Raises:
        LamplighterError: parameters do not fit, or the data does not provide what the component needs.
    """
    component = get(kind, name)
    try:
        arguments = validate(kind, name, params)
    except ValidationError as error:
        known = list(schema(kind, name).model_fields)
        lines = [f"{e['loc'][0]}: {explain(e, known, str(e['loc'][0]))}" for e in error.errors()]
        raise LamplighterError("; ".join(f"{kind} '{name}': {line}" for line in lines)) from None
    facts = facts or {}
    hints = _hints(component)
    for parameter in parameters_from_data(component):
        if parameter in facts:
            arguments[parameter] = facts[parameter]
        elif inspect.signature(component).parameters[parameter].default is inspect.Parameter.empty:
            raise LamplighterError(
                f"{kind} '{name}' needs '{parameter}' ({_describe(hints[parameter])}), which this data does not have; "
                f"choose another {kind} (known: {', '.join(names(kind))})"
            )
    return component(**arguments)


def did_you_mean(word: str, known: list[str]) -> str:
    """`` (did you mean 'x'?)`` or nothing.

    >>> did_you_mean("adamww", ["adamw", "sgd"])
    " (did you mean 'adamw'?)"
    """
    near = difflib.get_close_matches(str(word), known, n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else ""


def explain(error: Any, known: list[str], key: str) -> str:
    """One pydantic error in words; the caller puts the path in front.

    Args:
        error: an item of ``ValidationError.errors()``.
        known: keys that would have been right.
        key: the last key of the path.
    """
    if error["type"] == "extra_forbidden":
        return f"unknown key{did_you_mean(key, known)}"
    if error["type"] == "missing":
        return "is required"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return f"{message}, not {_short(error['input'])}"


def _short(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


@functools.cache
def _load_entry_points() -> None:
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        entry.load()


@functools.cache
def _schema_of(component: Callable[..., Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    hints = _hints(component)
    for name, parameter in inspect.signature(component).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise LamplighterError(f"{_origin(component)}: components take no *args or **kwargs ('{name}')")
        if name not in hints:
            raise LamplighterError(f"{_origin(component)}: parameter '{name}' has no type hint")
        if _is_from_data(hints[name]):
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints[name], Field(default=default, description=_doc_of(component, name)))
    return create_model(
        getattr(component, "__name__", "Component"),
        __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=()),
        **fields,
    )


@functools.cache
def _hints(component: Callable[..., Any]) -> dict[str, Any]:
    target = component.__init__ if inspect.isclass(component) else component
    hints = typing.get_type_hints(target, include_extras=True)
    hints.pop("return", None)
    return hints


def _doc_of(component: Callable[..., Any], parameter: str) -> str | None:
    """The parameter's words in the ``Args:`` section of the docstring."""
    match = re.search(
        rf"^(?P<indent> +){re.escape(parameter)}: (?P<text>.+?)(?=\n(?P=indent)\S|\n\s*\n|\Z)",
        inspect.getdoc(component) or "",
        re.MULTILINE | re.DOTALL,
    )
    return re.sub(r"\s+", " ", match["text"]).strip() if match else None


def _is_from_data(hint: Any) -> bool:
    return typing.get_origin(hint) is typing.Annotated and FromData in hint.__metadata__


def _describe(hint: Any) -> str:
    base = hint.__origin__ if typing.get_origin(hint) is typing.Annotated else hint
    return base.__name__ if isinstance(base, type) and not isinstance(base, types.GenericAlias) else str(base)


def _origin(component: Any) -> str:
    return f"{getattr(component, '__module__', '?')}.{getattr(component, '__qualname__', component)}"


def _check_kind(kind: str) -> None:
    if kind not in CATALOG:
        raise UnknownComponentError(f"unknown kind of component '{kind}'; known: {', '.join(sorted(CATALOG))}")

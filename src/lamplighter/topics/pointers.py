"""Follows the pointers of the map and says which of them lead nowhere.

A pointer is one of

* ``lamplighter.module:attribute``, dots inside the attribute allowed (``:Trainer.fit``),
* ``kind:name`` of the catalog, for instance ``model:mlp``, or ``recipe:name`` of a built-in recipe,
* ``tests/path/test_file.py::test_name``, or a file below ``tests/``, ``lessons/`` or ``benchmarks/``.

Files are looked up in a checkout of the project: an installed package has neither tests nor lessons.
"""

from __future__ import annotations

import ast
import functools
import importlib
from pathlib import Path

from lamplighter.core import recipe, registry
from lamplighter.core.errors import LamplighterError
from lamplighter.topics.model import Topic

FOLDERS = ("tests", "lessons", "benchmarks")


def resolve(pointer: str, root: Path) -> None:
    """Follow one pointer; return when something is there.

    Args:
        pointer: see the module's docstring.
        root: folder of the checkout.

    Raises:
        LamplighterError: it leads nowhere, or is written in no known way.
    """
    head, _, rest = pointer.partition(":")
    if Path(head).parts[:1] and Path(head).parts[0] in FOLDERS:
        _resolve_file(pointer, root)
    elif head == "lamplighter" or head.startswith("lamplighter."):
        _resolve_attribute(pointer, head, rest)
    elif head == "recipe":
        if rest not in recipe.builtin():
            raise LamplighterError(f"{pointer}: no built-in recipe '{rest}'")
    elif head in registry.kinds():
        registry.get(head, rest)
    else:
        raise LamplighterError(f"{pointer}: neither lamplighter.module:attribute, kind:name nor a file")


def problems(topic: Topic, root: Path) -> list[str]:
    """What is untrue in one row: broken pointers, a landed row with gaps, a planned row without any.

    Args:
        topic: the row.
        root: folder of the checkout.
    """
    pointers = [*topic.components, *topic.tests, *(idea.where for idea in topic.ideas if idea.where is not None)]
    if topic.recipe is not None:
        pointers.append(f"recipe:{topic.recipe}")
    found: list[str] = []
    for pointer in dict.fromkeys(pointers):
        try:
            resolve(pointer, root)
        except (LamplighterError, ImportError) as error:
            found.append(str(error))
    missing = [idea.name for idea in topic.ideas if idea.where is None]
    if not (root / topic.lesson).is_file():
        missing.append(topic.lesson)
    if topic.status == "landed" and missing:
        found.append(f"landed, but without: {', '.join(missing)}")
    if topic.status == "planned" and not missing:
        found.append("planned, but nothing is missing: mark it landed")
    return [f"topic {topic.number}: {line}" for line in found]


def _resolve_attribute(pointer: str, module: str, attribute: str) -> None:
    if not attribute:
        raise LamplighterError(f"{pointer}: name an attribute, as in module:attribute")
    value: object = importlib.import_module(module)
    for name in attribute.split("."):
        if not hasattr(value, name):
            raise LamplighterError(f"{pointer}: '{module}' has no '{attribute}'")
        value = getattr(value, name)


def _resolve_file(pointer: str, root: Path) -> None:
    path, _, name = pointer.partition("::")
    if not (root / path).is_file():
        raise LamplighterError(f"{pointer}: no such file")
    if name and name not in _tests_in(root / path):
        raise LamplighterError(f"{pointer}: '{path}' has no test of that name")


@functools.cache
def _tests_in(path: Path) -> frozenset[str]:
    """Names of the test functions of a file, those of classes as ``Class::test``."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
    return frozenset(name for name in names if name.rpartition("::")[2].startswith("test"))

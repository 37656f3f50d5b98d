"""Lamplighter: from a data set to a trained, exported, served and monitored model.

>>> import lamplighter as lamp
>>> sorted(lamp.__all__)[:4]
['Bundle', 'LamplighterError', 'Recipe', 'Run']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lamplighter.bundle.runtime import Bundle as Bundle
    from lamplighter.bundle.runtime import load_bundle as load_bundle
    from lamplighter.core.errors import LamplighterError as LamplighterError
    from lamplighter.core.recipe import Recipe as Recipe
    from lamplighter.core.registry import register as register
    from lamplighter.run import Run as Run
    from lamplighter.run import fit as fit
    from lamplighter.run.ensembling import ensemble as ensemble
    from lamplighter.serving.server import serve as serve

_HOME = {
    "Bundle": "lamplighter.bundle.runtime",
    "LamplighterError": "lamplighter.core.errors",
    "Recipe": "lamplighter.core.recipe",
    "Run": "lamplighter.run",
    "ensemble": "lamplighter.run.ensembling",
    "fit": "lamplighter.run",
    "load_bundle": "lamplighter.bundle.runtime",
    "register": "lamplighter.core.registry",
    "serve": "lamplighter.serving.server",
}
__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that ``import lamplighter`` costs nothing and needs no torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'lamplighter' has no attribute '{name}'")
    try:
        return getattr(importlib.import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        from lamplighter.core import extras

        raise extras.explained(error) or error from error

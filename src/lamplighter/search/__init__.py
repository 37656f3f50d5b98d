"""Many trainings of one recipe: hyper-parameter search on the validation split, cross-validation, learning curves by
data size, bias and variance. Lazy, since they need torch."""

from __future__ import annotations

import importlib
from typing import Any

from lamplighter.core import extras

__all__ = [
    "BiasVariance",
    "CrossValidation",
    "LearningCurve",
    "SearchResult",
    "bias_variance",
    "cross_validate",
    "learning_curve",
    "search",
]

_HOME = {
    "BiasVariance": "lamplighter.search.decomposition",
    "CrossValidation": "lamplighter.search.cross_validation",
    "LearningCurve": "lamplighter.search.data_size",
    "SearchResult": "lamplighter.search.result",
    "bias_variance": "lamplighter.search.decomposition",
    "cross_validate": "lamplighter.search.cross_validation",
    "learning_curve": "lamplighter.search.data_size",
    "search": "lamplighter.search.hyperparameters",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lamplighter.search' has no attribute '{name}'")
    try:
        return getattr(importlib.import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        raise extras.explained(error) or error from error

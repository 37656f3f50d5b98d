"""Has the data changed? Statistical tests with a stated error rate.

>>> import numpy as np
>>> from lamplighter.monitor import drift
>>> rng = np.random.default_rng(0)
>>> reference = rng.normal(size=(500, 3))
>>> drift.check(reference, rng.normal(size=(300, 3))).drifted
False
>>> drift.check(reference, rng.normal(size=(300, 3)) + [0, 0.5, 0]).drifted
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamplighter.monitor.drift.baseline import Baseline, Column
    from lamplighter.monitor.drift.detect import check
    from lamplighter.monitor.drift.verdict import Detector, FeatureDrift, Finding, Verdict

__all__ = ["Baseline", "Column", "Detector", "FeatureDrift", "Finding", "Verdict", "check"]

_HOME = {"Baseline": "baseline", "Column": "baseline", "check": "detect"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_HOME.get(name, 'verdict')}"), name)

"""All cases of the parity matrix: ``CASES`` of every ``parity_<family>.py`` beside this file."""

from __future__ import annotations

import importlib
from pathlib import Path

from parity import Case

_FAMILIES = sorted(path.stem for path in Path(__file__).parent.glob("parity_*.py") if path.stem != Path(__file__).stem)
CASES: list[Case] = [case for family in _FAMILIES for case in importlib.import_module(family).CASES]

"""Leakage: what makes scores better than the model is. `check(source)` looks for all of it."""

from __future__ import annotations

from lamplighter.data.leakage.check import check as check
from lamplighter.data.leakage.finding import Finding as Finding

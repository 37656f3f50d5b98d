"""How the learning rate changes: functions from the number of optimizer steps done to a factor of the base rate."""

from __future__ import annotations

from lamplighter.optim.schedules.base import ObservingSchedule, Schedule

__all__ = ["ObservingSchedule", "Schedule"]

"""Alerts as log lines."""

from __future__ import annotations

import logging
from typing import Literal

from lamplighter.monitor.alerts import Alert

logger = logging.getLogger("lamplighter.alerts")


class LogSink:
    """One line through Python's ``logging`` (logger ``lamplighter.alerts``) when an alert starts and when it ends.

    Args:
        level: of the line that says an alert started; its end is logged at ``info``.
    """

    def __init__(self, level: Literal["info", "warning", "error", "critical"] = "warning") -> None:
        self.level = level

    def send(self, alert: Alert) -> None:
        """Log it."""
        level = logging.getLevelNamesMapping()[self.level.upper()] if alert.state == "firing" else logging.INFO
        line = " ".join(alert.summary.split())
        logger.log(level, "%s %s: model '%s' version %s: %s", alert.name, alert.state, alert.model, alert.version, line)

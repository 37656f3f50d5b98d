"""Alerts as log lines."""

from __future__ import annotations

import logging

import pytest

from lamplighter.monitor.alerts import Alert
from lamplighter.monitor.sinks.log import LogSink


def test_one_line_each(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lamplighter.alerts"):
        for state in ("firing", "resolved"):
            LogSink(level="error").send(Alert("data-drift", "m", "1", state, 1.0, None, "two\nlines", {}))
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.INFO]
    assert caplog.records[0].getMessage() == "data-drift firing: model 'm' version 1: two lines"

"""metrics.jsonl: appended to, torn lines dropped, truncated on resume."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from lamplighter.core.errors import RunError
from lamplighter.train.metrics_log import MetricsLog


@pytest.fixture
def log(tmp_path: Path) -> MetricsLog:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for step in (1, 2, 3):
        log.append({"event": "epoch", "step": step, "name": "größe"})
    return log


def test_reads_what_was_appended(log: MetricsLog) -> None:
    assert [record["step"] for record in log.read()] == [1, 2, 3]
    assert log.read()[0]["name"] == "größe"
    assert len(log) == 3


def test_a_file_that_is_not_there_is_empty(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "none.jsonl")
    log.truncate(0)
    assert log.read() == [] and len(log) == 0


@pytest.mark.parametrize("torn", [b'{"event": "epo', b'{"step": 4}', b"\xc3"])
def test_a_torn_last_line_is_dropped(torn: bytes, log: MetricsLog) -> None:
    with log.path.open("ab") as file:
        file.write(torn)
    assert [record["step"] for record in log.read()] == [1, 2, 3]
    log.truncate()
    log.append({"step": 4})
    assert [record["step"] for record in log.read()] == [1, 2, 3, 4]


def test_truncate_keeps_the_first(log: MetricsLog) -> None:
    log.truncate(2)
    assert [record["step"] for record in log.read()] == [1, 2]
    log.truncate(0)
    assert log.read() == []


def test_damage_elsewhere_is_named(log: MetricsLog) -> None:
    lines = log.path.read_text().splitlines()
    log.path.write_text("\n".join([lines[0], "{", lines[2], ""]))
    with pytest.raises(RunError, match=r"metrics\.jsonl:2: not JSON"):
        log.read()


def test_nan_becomes_null(log: MetricsLog) -> None:
    log.append({"a": math.nan, "b": {"c": [math.inf, 1.0]}})
    assert log.read()[-1] == {"a": None, "b": {"c": [None, 1.0]}}

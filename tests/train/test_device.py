"""Devices and threads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from lamplighter.core.errors import LamplighterError
from lamplighter.train import device
from lamplighter.train.device import resolve_device, resolve_threads

CPU = torch.device("cpu")


def test_auto_finds_something_that_computes() -> None:
    assert torch.ones(2, device=resolve_device("auto")).sum() == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_missing_device_is_named(name: str) -> None:
    with pytest.raises(LamplighterError, match=f"no '{name}'; use device: auto"):
        resolve_device(name)


def test_the_recipes_number_is_kept() -> None:
    assert resolve_threads(3, CPU) == 3


@pytest.mark.parametrize(
    ("processors", "available", "load", "expected"),
    [(8, 8, 0.0, 8), (8, 8, 2.9, 5), (8, 8, 30.0, 1), (8, 2, 5.0, 2), (8, 2, 7.4, 1), (2, 2, 0.4, 2), (2, 2, 0.8, 1)],
)
def test_auto_leaves_busy_processors_alone(
    processors: int, available: int, load: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(device, "_processors", lambda: available)
    assert resolve_threads("auto", CPU) == expected


def test_affinity_quota_and_environment_all_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    for quota, environment, expected in ((None, "", 6), (4, "", 4), (4, "3", 3), (None, "many", 6), (0, "0", 1)):
        monkeypatch.setattr(device, "_quota", lambda cgroup, quota=quota: quota)
        monkeypatch.setenv("OMP_NUM_THREADS", environment)
        assert device._processors() == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("max 100000", None), ("150000 100000", 1), ("400000 100000", 4), ("50000 100000", 1)]
)
def test_the_quota_of_a_container(text: str, expected: int | None, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert device._quota(tmp_path) == expected


def test_the_quota_in_the_old_format(tmp_path: Path) -> None:
    assert device._quota(tmp_path) is None
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert device._quota(tmp_path) is None
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("250000\n")
    assert device._quota(tmp_path) == 2

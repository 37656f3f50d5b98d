"""Which device computes, and with how many threads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import torch

from lamplighter.core.errors import LamplighterError


def resolve_device(name: str, local_rank: int = 0) -> torch.device:
    """The device a recipe means: ``auto`` is CUDA, else Apple's MPS, else the CPU.

    Args:
        name: of the recipe.
        local_rank: number of this process among those on this machine; each takes the CUDA device of its number.

    Raises:
        LamplighterError: this machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(f"cuda:{local_rank}" if name == "cuda" and local_rank else name)
    missing = (
        (device.type == "cuda" and not torch.cuda.is_available())
        or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count())
        or (device.type == "mps" and not torch.backends.mps.is_available())
    )
    if missing:
        raise LamplighterError(f"device: this machine has no '{name}'; use device: auto, or cpu")
    return device


def resolve_threads(threads: int | Literal["auto"], device: torch.device) -> int:
    """Compute threads to use.

    ``auto`` takes the processors this process may use (affinity, container quota, ``OMP_NUM_THREADS``) less those that
    are busy now: on a busy machine two threads that wait for each other are several times slower than one.

    Args:
        threads: what the recipe says.
        device: on a GPU the processors' load does not matter.
    """
    if threads != "auto":
        return threads
    available = _processors()
    if device.type != "cpu" or not hasattr(os, "getloadavg"):
        return available
    return max(1, min(available, round((os.cpu_count() or 1) - os.getloadavg()[0])))


def _processors() -> int:
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [affinity, _quota(Path("/sys/fs/cgroup")), _from_environment()]
    return max(1, min(limit for limit in limits if limit is not None))


def _from_environment() -> int | None:
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdigit() and int(text) > 0 else None


def _quota(cgroup: Path) -> int | None:
    """Processors a container may use, rounded down but at least 1; None without a limit (cgroup version 2, then 1)."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return max(1, int(quota) // int(period))

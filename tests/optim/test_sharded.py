"""Optimizers, clipping and SAM on parameters that FSDP2 has spread over two processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lamplighter.core import registry

SCRIPT = Path(__file__).with_name("shards.py")


def test_sharded_parameters_step_like_whole_ones(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(rank), str(tmp_path / "store")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(2)
    ]
    try:
        results = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (out, err) in zip(processes, results):
        assert process.returncode == 0, err
        lines = [line.split(" ", 1) for line in out.splitlines()]
        assert {name for name, _ in lines} == set(registry.names("optimizer"))
        other = {name: text for name, text in lines if text != "same"}
        assert list(other) == ["adafactor"], other
        assert "train.strategy: ddp" in other["adafactor"]

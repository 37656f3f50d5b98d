"""One process, two with replicated weights and two with sharded ones: the same training, whatever the task."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Result = dict[str, Any]
CASES = [("classification", 1), ("classification", 4), ("adversaries", 1), ("adversaries", 4)]


class Launcher:
    """A process beside the test that starts others, see worker.py."""

    def __init__(self) -> None:
        self.server = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def __call__(self, out: Path, processes: int, *arguments: Any) -> Result:
        out.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        assert self.server.stdin is not None and self.server.stdout is not None
        order = {"processes": processes, "port": port, "arguments": [str(out), *arguments]}
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        result: Result = {"codes": json.loads(self.server.stdout.readline())}
        result["diary"] = (out / "metrics.jsonl").read_text()
        if (out / "result.json").exists():
            result |= json.loads((out / "result.json").read_text())
        return result


@pytest.fixture(scope="module")
def launch() -> Iterator[Launcher]:
    launcher = Launcher()
    yield launcher
    assert launcher.server.stdin is not None and launcher.server.stdout is not None
    launcher.server.stdin.close()
    launcher.server.wait(30)
    launcher.server.stdout.close()


def furthest(one: dict[str, list[float]], other: dict[str, list[float]]) -> float:
    assert one.keys() == other.keys()
    return max(abs(a - b) for name in one for a, b in zip(one[name], other[name], strict=True))


def curve(result: Result) -> list[float]:
    records = [json.loads(line) for line in result["diary"].splitlines()]
    return [
        record[key] for record in records for key in ("train/loss", "train/critic_loss", "val/loss") if key in record
    ]


@pytest.fixture(scope="module")
def alone(launch: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Result]:
    done: dict[tuple[str, int], Result] = {}

    def train(task: str, accumulate: int) -> Result:
        if (task, accumulate) not in done:
            done[task, accumulate] = launch(tmp_path_factory.mktemp("alone"), 1, "single", task, accumulate)
        return done[task, accumulate]

    return train


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize(("task", "accumulate"), CASES)
def test_two_processes_train_like_one(
    task: str, accumulate: int, strategy: str, alone: Callable[[str, int], Result], launch: Launcher, tmp_path: Path
) -> None:
    """Blanks and a last batch of a single row included. The adversaries compute in float64, the others in float32."""
    one, two = alone(task, accumulate), launch(tmp_path, 2, strategy, task, accumulate)
    assert two["codes"] == [0, 0]
    assert (two["processes"], two["steps"]) == (2, one["steps"])
    tolerance = 1e-7 if task == "adversaries" else 1e-6
    assert furthest(one["weights"], two["weights"]) <= tolerance
    assert furthest(one["best"], two["best"]) <= tolerance
    assert curve(two) == pytest.approx(curve(one), abs=1e-6)
    assert len(two["diary"].splitlines()) == 3, "only the first process writes"


@pytest.mark.parametrize("then", ["-ema", pytest.param("", marks=pytest.mark.slow)])
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_training_is_stopped_by_one_process_and_goes_on_in_another_number_of_processes(
    strategy: str, then: str, launch: Launcher, tmp_path: Path
) -> None:
    """The signal comes to the last process alone; all stop at the same step, optimizer state and averages included."""
    whole = launch(tmp_path / "whole", 2, strategy, "classification", 1, f"whole{then}")
    stopped = launch(tmp_path / "cut", 2, strategy, "classification", 1, f"stop{then}")
    assert stopped["codes"] == [143, 143]
    rest = launch(tmp_path / "cut", 4 if strategy == "fsdp" else 1, strategy, "classification", 1, f"resume{then}")
    assert set(rest["codes"]) == {0}
    assert rest["steps"] == whole["steps"]
    assert furthest(rest["weights"], whole["weights"]) <= 1e-6
    assert furthest(rest["best"], whole["best"]) <= 1e-6
    assert curve(rest) == pytest.approx(curve(whole), abs=1e-6)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_resumed_with_as_many_processes_it_is_the_same_bit_for_bit(
    strategy: str, launch: Launcher, tmp_path: Path
) -> None:
    """Dropout included: each process draws masks of its own, which depend on the step alone."""
    whole = launch(tmp_path / "whole", 2, strategy, "dropout", 1)
    launch(tmp_path / "cut", 2, strategy, "dropout", 1, "stop")
    rest = launch(tmp_path / "cut", 2, strategy, "dropout", 1, "resume")
    assert rest["weights"] == whole["weights"]
    assert curve(rest) == curve(whole)


def test_resumed_at_a_checkpoint_within_an_epoch(launch: Launcher, tmp_path: Path) -> None:
    """The step it stands at asks for a checkpoint: none is due again, and all processes agree on what to exchange."""
    whole = launch(tmp_path / "whole", 2, "ddp", "classification", 1, "whole-often")
    launch(tmp_path / "cut", 2, "ddp", "classification", 1, "stop-often")
    rest = launch(tmp_path / "cut", 2, "ddp", "classification", 1, "resume-often")
    assert rest["codes"] == [0, 0]
    assert rest["weights"] == whole["weights"]
    assert curve(rest) == curve(whole)

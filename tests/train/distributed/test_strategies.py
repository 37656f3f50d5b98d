"""One process, two with replicated weights and two with sharded ones: the same training, whatever the task."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lamplighter.core.errors import LamplighterError
from lamplighter.train.distributed import ddp, fsdp, sharded  # noqa: F401  (imported once, before processes are forked)

from . import worker

Result = dict[str, Any]
CASES = [("classification", 1), ("classification", 4), ("adversaries", 1), ("adversaries", 4)]


def launch(out: Path, processes: int, *arguments: Any) -> Result:
    """Run `worker.main` in new processes that find each other as those of torchrun do."""
    out.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fork = multiprocessing.get_context("fork")
    started = [
        fork.Process(target=_one, args=(rank, processes, port, (str(out), *arguments))) for rank in range(processes)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(120)
        if process.is_alive():
            process.kill()
    codes = [process.exitcode for process in started]
    result: Result = {"codes": codes, "diary": (out / "metrics.jsonl").read_text()}
    if (out / "result.json").exists():
        result |= json.loads((out / "result.json").read_text())
    return result


def _one(rank: int, world: int, port: int, arguments: tuple[Any, ...]) -> None:
    found = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in found.items()})
    try:
        worker.main(*arguments)
    except LamplighterError as error:
        traceback.print_exc()
        os._exit(error.exit_code)
    os._exit(0)


def furthest(one: dict[str, list[float]], other: dict[str, list[float]]) -> float:
    assert one.keys() == other.keys()
    return max(abs(a - b) for name in one for a, b in zip(one[name], other[name], strict=True))


def curve(result: Result) -> list[float]:
    records = [json.loads(line) for line in result["diary"].splitlines()]
    return [
        record[key] for record in records for key in ("train/loss", "train/critic_loss", "val/loss") if key in record
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Result]:
    done: dict[tuple[str, int], Result] = {}

    def train(task: str, accumulate: int) -> Result:
        if (task, accumulate) not in done:
            done[task, accumulate] = launch(tmp_path_factory.mktemp("alone"), 1, "single", task, accumulate)
        return done[task, accumulate]

    return train


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize(("task", "accumulate"), CASES)
def test_two_processes_train_like_one(
    task: str, accumulate: int, strategy: str, alone: Callable[[str, int], Result], tmp_path: Path
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


@pytest.mark.parametrize("then", ["", "-ema"])
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_training_is_stopped_by_one_process_and_goes_on_in_another_number_of_processes(
    strategy: str, then: str, tmp_path: Path
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
def test_resumed_with_as_many_processes_it_is_the_same_bit_for_bit(strategy: str, tmp_path: Path) -> None:
    """Dropout included: each process draws masks of its own, which depend on the step alone."""
    whole = launch(tmp_path / "whole", 2, strategy, "dropout", 1)
    launch(tmp_path / "cut", 2, strategy, "dropout", 1, "stop")
    rest = launch(tmp_path / "cut", 2, strategy, "dropout", 1, "resume")
    assert rest["weights"] == whole["weights"]
    assert curve(rest) == curve(whole)

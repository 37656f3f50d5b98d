"""Trains small tasks in one or more processes that find each other as those of torchrun do.

A server: reads lines of JSON from standard input, forks that many processes for each, and answers with their exit
codes. Forking from here costs a fraction of starting Python and torch anew; the test itself cannot fork once another
test has made torch start threads.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lamplighter.core.errors import LamplighterError
from lamplighter.core.recipe import Recipe
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.rows import TensorRows
from lamplighter.data.source import Batch
from lamplighter.tasks.base import Loss, Task
from lamplighter.tasks.classification import Classification
from lamplighter.train import checkpoint, rng
from lamplighter.train.distributed import ddp, fsdp, group, sharded  # noqa: F401  (imported before processes are forked)
from lamplighter.train.precision import Precision
from lamplighter.train.progress import NoProgress
from lamplighter.train.signals import StopRequest
from lamplighter.train.trainer import Trainer

ROWS = 193  # six batches of 32, and one of a single row
STOP_AFTER = 10


def rows(count: int, seed: int) -> TensorRows:
    x = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
    y = x[:, :3].argmax(1)
    y[::7] = -1  # blanks are spread unevenly over processes
    return TensorRows({"x": x, "y": y})


class Adversaries(Task):
    """Two networks, two optimizers, in the manner of a GAN: one tells real from made, the other makes."""

    monitor = ("loss", "min")
    optimizers = ("critic", "maker")

    def __init__(self) -> None:
        super().__init__()
        self.critic = nn.Sequential(nn.Linear(6, 120), nn.Tanh(), nn.Linear(120, 1))
        self.maker = nn.Sequential(nn.Linear(6, 120), nn.Tanh(), nn.Linear(120, 6))

    def step(self, batch: Batch) -> Iterator[Loss]:
        x = batch["x"].to(next(self.parameters()).dtype)
        judge = nn.functional.binary_cross_entropy_with_logits
        made = self.maker(x.flip(1))
        real, fake = self.critic(x), self.critic(made.detach())
        yield Loss(judge(real, torch.ones_like(real)) + judge(fake, torch.zeros_like(fake)), len(x), "critic")
        fooled = self.critic(self.maker(x.flip(1)))  # reaches the critic's weights too
        yield Loss(judge(fooled, torch.ones_like(fooled)), len(x), "maker")

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        x = batch["x"].to(next(self.parameters()).dtype)
        return {"score": self.critic(self.maker(x.flip(1)))[:, 0]}

    def metrics(self, outputs: Any) -> dict[str, float]:
        return {"loss": float((outputs["score"] ** 2).mean()), "first": float(outputs["score"][0])}

    def parameters_of(self, optimizer: str) -> Iterator[tuple[str, nn.Parameter]]:
        yield from getattr(self, optimizer).named_parameters()


def make_task(name: str) -> Task:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name == "adversaries":
            return Adversaries().double()
        blocks = [nn.Linear(6, 120), nn.Tanh(), nn.Linear(120, 120), nn.Tanh(), nn.Linear(120, 3)]
        if name == "dropout":
            blocks.insert(2, nn.Dropout(0.5))
        signature = Signature(
            inputs=(Column(name="x", kind="array", shape=(6,)),),
            tensors=(TensorSpec(name="x", dtype="float32", shape=(6,)),),
            targets=(Column(name="y", kind="category", categories=("a", "b", "c")),),
        )
        return Classification(nn.Sequential(*blocks), signature)


class StopAfter(NoProgress):
    """Asks to stop, as a signal to one of the processes would."""

    def __init__(self, stop: StopRequest) -> None:
        super().__init__()
        self.request, self.left = stop, STOP_AFTER

    def advance(self, batches: int, rows: int) -> None:
        self.left -= 1
        if self.left == 0:
            self.request.signum = signal.SIGTERM


def main(out: str, strategy: str, task_name: str, accumulate: int, then: str = "") -> None:
    torch.set_num_threads(1)
    folder = Path(out)
    train: dict[str, Any] = {
        "epochs": 3,
        "accumulate": accumulate,
        "optimizer": {"name": "adamw", "lr": 0.01},
        "clip": {"name": "norm", "max_norm": 0.5},
        "monitor": {"metric": "loss", "mode": "min"},
        "checkpoint_steps": 5 if then.endswith("often") else None,
        "callbacks": [{"name": "ema", "decay": 0.9}] if then.endswith("ema") else [],
    }
    whole = {"name": "x", "data": {"name": "digits"}, "model": {"name": "mlp"}, "task": {"name": "classification"}}
    settings = Recipe.parse(str(whole)).with_(train=train).train
    with group.joined(strategy, "cpu") as joined:  # type: ignore[arg-type]
        rng.seed_all(0, "train")
        stop = StopRequest()
        trainer = Trainer(
            make_task(task_name),
            rows(ROWS, 0),
            rows(41, 1),
            settings=settings,
            batch_size=32 // accumulate,
            seed=0,
            precision=Precision("fp32", False),
            device=torch.device("cpu"),
            folder=folder,
            strategy=joined,
            stop=stop,
            progress=StopAfter(stop) if then.startswith("stop") and joined.rank == joined.world - 1 else None,
        )
        if then.startswith("resume"):
            assert trainer.resume()
        trainer.fit()
        last, main_process = trainer.state.step, joined.main
        ranks = joined.sum([1.0])[0]
    if main_process:
        task = make_task(task_name)
        checkpoint.load_model(folder / "checkpoints" / "last", task)
        weights = {name: tensor.double().flatten().tolist() for name, tensor in task.state_dict().items()}
        checkpoint.load_model(folder / "checkpoints" / "best", task)
        best = {name: tensor.double().flatten().tolist() for name, tensor in task.state_dict().items()}
        result = {"weights": weights, "best": best, "steps": last, "processes": ranks}
        (folder / "result.json").write_text(json.dumps(result))


def launch(processes: int, port: int, arguments: list[Any]) -> list[int]:
    """Exit codes of the processes, which run `main` together."""
    started = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            _one(rank, processes, port, arguments)
        started.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in started]


def _one(rank: int, world: int, port: int, arguments: list[Any]) -> None:
    signal.alarm(120)
    found = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in found.items()})
    code = 1
    try:
        main(*arguments)
        code = 0
    except LamplighterError as error:
        code = error.exit_code
    finally:
        if code == 1:
            traceback.print_exc()
        os._exit(code)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(launch(**json.loads(line))), flush=True)

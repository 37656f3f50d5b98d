"""Time of one training step of a small network, beside a loop written by hand and beside other trainers.

    pip install 'lamplighter[peers]'           # the other trainers; those that are missing are left out
    python benchmarks/train_overhead.py        # writes benchmarks/results/train_overhead.json
    python benchmarks/train_overhead.py --quick

An MLP 784-64-10 at batch 32 with SGD and momentum: a step takes some hundred microseconds, so whatever a framework
does around it shows. Each side runs in a process of its own, one thread, the sides in turn, several rounds; the best
round of each counts. What each side does beyond the step itself:

* ``hand``: slices of one shuffled tensor, nothing else. ``hand fused``: the same with torch's fused SGD.
* ``hand clip``: the same with clip_grad_norm_; compare ``fit clip`` with it.
* ``fit``: Lamplighter's trainer as `lamp train` uses it: mean loss logged, checks for numbers that are not finite, stop
  requests, schedule, progress. Validation and checkpoint at the end of the epoch are not counted.
* other trainers: a DataLoader over a TensorDataset, loggers, checkpoints and progress bars off. They do less.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from train_fashion import hardware

BATCH, FEATURES, CLASSES = 32, 784, 10
HERE = Path(__file__).resolve().parent


def problem(steps: int) -> tuple[Any, Any, Any]:
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(steps * BATCH, FEATURES, generator=generator)
    y = torch.randint(0, CLASSES, (steps * BATCH,), generator=generator)
    torch.manual_seed(0)
    return x, y, nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, CLASSES))


def sgd(parameters: Any, fused: bool = False) -> Any:
    import torch

    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9, fused=fused)


def hand(steps: int, fused: bool = False, clip: bool = False) -> float:
    import torch
    from torch.nn import functional as F

    x, y, net = problem(steps)
    optimizer = sgd(net.parameters(), fused)
    began = time.perf_counter()
    for chosen in torch.randperm(len(x)).split(BATCH):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x[chosen]), y[chosen])
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    return time.perf_counter() - began


def fit(steps: int, clip: bool = False) -> float:
    import torch

    from lamplighter.data.rows import TensorRows
    from lamplighter.run import build_task, own
    from lamplighter.train.precision import Precision
    from lamplighter.train.trainer import Trainer

    seconds: list[float] = []

    class Timed(Trainer):
        def _end_epoch(self, began: float) -> None:
            seconds.append(time.perf_counter() - start)
            super()._end_epoch(began)

    x, y, net = problem(steps)
    few = (x[:640], y[:640])
    settings: dict[str, Any] = {
        "epochs": 1,
        "optimizer": {"name": "sgd", "lr": 0.01, "nesterov": False, "weight_decay": 0.0},
    }
    settings["clip"] = {"name": "norm", "max_norm": 1.0} if clip else None
    recipe, source = own.describe(net, None, few, settings)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Timed(
            build_task(recipe, source, net),
            TensorRows({"x": x, "y": y}),
            source.split("val"),
            settings=recipe.train,
            batch_size=BATCH,
            seed=0,
            precision=Precision("fp32", False),
            device=torch.device("cpu"),
            folder=Path(folder),
        )
        start = time.perf_counter()
        trainer.fit()
    return seconds[0]


def loader(x: Any, y: Any) -> Any:
    from torch.utils.data import DataLoader, TensorDataset

    return DataLoader(TensorDataset(x, y), batch_size=BATCH, shuffle=True)


def ignite(steps: int) -> float:
    from ignite.engine import create_supervised_trainer
    from torch.nn import functional as F

    x, y, net = problem(steps)
    trainer = create_supervised_trainer(net, sgd(net.parameters()), F.cross_entropy)
    began = time.perf_counter()
    trainer.run(loader(x, y), max_epochs=1)
    return time.perf_counter() - began


def skorch(steps: int) -> float:
    import torch
    from skorch import NeuralNetClassifier

    x, y, net = problem(steps)
    trainer = NeuralNetClassifier(
        net,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        lr=0.01,
        max_epochs=1,
        batch_size=BATCH,
        train_split=None,
        iterator_train__shuffle=True,
        verbose=0,
        callbacks="disable",
    ).initialize()
    began = time.perf_counter()
    trainer.partial_fit(x, y)
    return time.perf_counter() - began


def accelerate(steps: int) -> float:
    from accelerate import Accelerator
    from torch.nn import functional as F

    x, y, net = problem(steps)
    accelerator = Accelerator(cpu=True)
    net, optimizer, batches = accelerator.prepare(net, sgd(net.parameters()), loader(x, y))
    began = time.perf_counter()
    for inputs, targets in batches:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(inputs), targets)
        accelerator.backward(loss)
        optimizer.step()
    return time.perf_counter() - began


def lightning(steps: int) -> float:
    import logging

    import lightning as L
    from torch.nn import functional as F

    x, y, net = problem(steps)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def training_step(self, batch: Any, index: int) -> Any:
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return sgd(self.parameters())

        def on_train_epoch_start(self) -> None:
            self.began = time.perf_counter()

        def on_train_epoch_end(self) -> None:
            self.seconds = time.perf_counter() - self.began

    module = Module()
    trainer = L.Trainer(
        max_epochs=1,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader(x, y))
    return float(module.seconds)


SIDES: dict[str, Callable[[int], float]] = {
    "hand": hand,
    "hand fused": lambda steps: hand(steps, fused=True),
    "fit": fit,
    "hand clip": lambda steps: hand(steps, clip=True),
    "fit clip": lambda steps: fit(steps, clip=True),
    "ignite": ignite,
    "skorch": skorch,
    "accelerate": accelerate,
    "lightning": lightning,
}
_NEEDS = {"ignite": "ignite", "skorch": "skorch", "accelerate": "accelerate", "lightning": "lightning"}


def one_side(name: str, steps: int) -> dict[str, float]:
    """Microseconds of a step, and megabytes of memory above what was there after a short warm-up."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    SIDES[name](20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = SIDES[name](steps)
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"microseconds": seconds / steps * 1e6, "megabytes": megabytes}


def measure(name: str, steps: int) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__)), "--side", name, "--steps", str(steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=HERE)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round of 100 steps; writes nothing")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "train_overhead.json")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(one_side(options.side, options.steps)))
        return
    if options.quick:
        options.steps, options.rounds = 100, 1
    sides = [name for name in SIDES if name not in _NEEDS or importlib.util.find_spec(_NEEDS[name]) is not None]
    left_out = sorted(set(SIDES) - set(sides))
    results: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name in sides:
            results[name].append(measure(name, options.steps))
    best = {name: min(run["microseconds"] for run in runs) for name, runs in results.items()}
    memory = {name: min(run["megabytes"] for run in runs) for name, runs in results.items()}
    table = {
        name: {
            "microseconds": round(best[name], 1),
            "times_the_hand_loop": round(best[name] / best["hand clip" if name.endswith("clip") else "hand"], 3),
            "megabytes": round(memory[name], 1),
        }
        for name in sides
    }
    for name, row in table.items():
        print(
            f"{name:<12} {row['microseconds']:8.1f} us a step   {row['times_the_hand_loop']:.2f} x by hand   "
            f"{row['megabytes']:.1f} MB"
        )
    if left_out:
        print(f"not installed: {', '.join(left_out)}")
    if not options.quick:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        report = {
            "benchmark": "train_overhead",
            "command": shlex.join(["python", "benchmarks/train_overhead.py", *sys.argv[1:]]),
            "what": "microseconds of a training step, best of the rounds; below 1 a side is faster than by hand",
            "steps": options.steps,
            "rounds": options.rounds,
            "table": table,
            "not_installed": left_out,
            "results": results,
            "hardware": hardware(),
            "date": time.strftime("%Y-%m-%d"),
        }
        options.out.write_text(json.dumps(report, indent=2) + "\n")
        print(f"written to {options.out}")


if __name__ == "__main__":
    main()

"""Training time of `lamp train fashion-mnist` beside a plain PyTorch loop written by hand.

    python benchmarks/train_fashion.py            # writes benchmarks/results/train_fashion.json
    python benchmarks/train_fashion.py --quick    # a narrow network for one epoch, to see that it works; writes nothing

The hand-written loop is fp32 PyTorch without a framework. It does the same work: the same network, the same batches in
the same order, the same flips, optimizer, schedule and label smoothing, the data as one tensor, a validation after each
epoch and the test split at the end. `fit` is the shipped recipe with precision, checkpoints, diary and report as they
are by default. Each side has a process of its own and the same number of threads; the sides take turns, and the best
round of each counts. The clock runs from the loaded data to the test score; imports are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SIDES = ("hand", "fit")


def by_hand(epochs: int, width: int, threads: int) -> dict[str, Any]:
    """The loop one writes in an afternoon."""
    import numpy as np
    import torch
    from torch import nn

    from lamplighter.core.recipe import Recipe
    from lamplighter.core.seeding import derive, generator
    from lamplighter.models.cnn import CNN
    from lamplighter.run import build_source

    torch.set_num_threads(threads)
    recipe = Recipe.load("fashion-mnist")
    batch_size, rate, smoothing = recipe.data.batch_size, 0.1, 0.1
    source = build_source(recipe)
    x, y = {}, {}
    for split in ("train", "val", "test"):
        rows = source.split(split)
        batch = rows.fetch(np.arange(len(rows)))
        x[split], y[split] = batch["x"], batch["y"]

    began = time.perf_counter()
    pixels = x["train"].float()
    mean, std = pixels.mean(), pixels.std()
    del pixels
    torch.manual_seed(derive(0, "init"))
    model = CNN(in_channels=1, num_classes=10, width=width)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": 5e-4}, {"params": plain, "weight_decay": 0.0}],
        lr=rate,
        momentum=0.9,
        nesterov=True,
        fused=True,
    )
    per_epoch = -(-len(y["train"]) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=epochs * per_epoch, anneal_strategy="linear", cycle_momentum=False
    )

    def accuracy(split: str) -> float:
        model.eval()
        right = 0
        with torch.inference_mode():
            for start in range(0, len(y[split]), 2 * batch_size):
                inputs = (x[split][start : start + 2 * batch_size].float() - mean) / std
                right += int((model(inputs).argmax(1) == y[split][start : start + 2 * batch_size]).sum())
        model.train()
        return right / len(y[split])

    for epoch in range(epochs):
        order = torch.from_numpy(generator(0, "shuffle", epoch).permutation(len(y["train"])))
        for chosen in order.split(batch_size):
            inputs = x["train"][chosen]
            flips = torch.rand(len(chosen)) < 0.5
            inputs = torch.where(flips[:, None, None, None], inputs.flip(3), inputs)
            logits = model((inputs.float() - mean) / std)
            loss = nn.functional.cross_entropy(logits, y["train"][chosen], label_smoothing=smoothing)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        print(f"hand: epoch {epoch + 1}/{epochs}  val/accuracy {accuracy('val'):.4f}", file=sys.stderr, flush=True)
    test = accuracy("test")
    return {"seconds": time.perf_counter() - began, "test_accuracy": test, "precision": "fp32"}


def by_recipe(epochs: int, width: int, threads: int) -> dict[str, Any]:
    """What `lamp train fashion-mnist` does."""
    import lamplighter.evaluate.report  # noqa: F401  (imports are not counted on either side)
    from lamplighter.core.recipe import Recipe
    from lamplighter.run import build_source, fit

    overrides = [f"train.epochs={epochs}", f"model.width={width}", f"threads={threads}"]
    recipe = Recipe.load("fashion-mnist", set=overrides)
    build_source(recipe)  # from now on the files are in the system's cache
    loading = time.perf_counter()
    build_source(recipe)
    loading = time.perf_counter() - loading  # `fit` loads the data once more; taken off, as it is for the other side
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run = fit(recipe, Path(folder) / "run")
        seconds = time.perf_counter() - began - loading
        event = next(record for record in run.history if record["event"] == "precision")
        return {
            "seconds": seconds,
            "test_accuracy": run.metrics["accuracy"].value,
            "precision": event["chosen"],
            "step_milliseconds": event["ms"],
            "epochs_seconds": [record["seconds"] for record in run.history if record["event"] == "epoch"],
        }


def measure(side: str, options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """One side in a process of its own."""
    command = [sys.executable, str(Path(__file__)), "--side", side, "--epochs", str(options.epochs)]
    command += ["--width", str(options.width), "--threads", str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{side}: {result['seconds']:.1f} s, test accuracy {result['test_accuracy']:.4f}, {result['precision']}")
    return result


def hardware() -> dict[str, Any]:
    """What the numbers were measured on."""
    import torch

    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = dict(line.split(":", 1) for line in info.split("\n\n")[0].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = [flag for flag in ("avx512_bf16", "amx_bf16", "avx512f", "avx2") if flag in fields.get("flags", "").split()]
    return {
        "processor": fields.get("model name", platform.processor() or platform.machine()),
        "processors": os.cpu_count(),
        "flags": flags,
        "load_average": list(os.getloadavg()),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--width", type=int, default=32, help="channels of the network's stem")
    parser.add_argument("--rounds", type=int, default=1, help="how often each side is measured")
    parser.add_argument("--threads", type=int, help="default: as the recipe's threads: auto decides now")
    parser.add_argument("--quick", action="store_true", help="one epoch of a narrow network; writes nothing")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/train_fashion.json")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run = by_hand if options.side == "hand" else by_recipe
        print(json.dumps(run(options.epochs, options.width, options.threads)))
        return
    if options.quick:
        options.epochs, options.width = 1, 4

    import torch

    from lamplighter.train.device import resolve_threads

    threads = options.threads or resolve_threads("auto", torch.device("cpu"))
    results: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for _ in range(options.rounds):
        for side in SIDES:
            results[side].append(measure(side, options, threads))
    best = {side: min(runs, key=lambda run: float(run["seconds"])) for side, runs in results.items()}
    ratio = best["hand"]["seconds"] / best["fit"]["seconds"]
    print(f"fit takes {best['fit']['seconds']:.1f} s where the loop by hand takes {best['hand']['seconds']:.1f} s: ")
    print(f"{ratio:.2f} times as fast")
    out = options.out or (None if options.quick else HERE / "results" / "train_fashion.json")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        report = {
            "benchmark": "train_fashion",
            "command": shlex.join(["python", "benchmarks/train_fashion.py", *sys.argv[1:]]),
            "what": "seconds from loaded data to test score; ratio = hand / fit, above 1 means fit is faster",
            "epochs": options.epochs,
            "width": options.width,
            "threads": threads,
            "ratio": ratio,
            "results": results,
            "hardware": hardware(),
            "date": time.strftime("%Y-%m-%d"),
        }
        out.write_text(json.dumps(report, indent=2) + "\n")
        print(f"written to {out}")


if __name__ == "__main__":
    main()

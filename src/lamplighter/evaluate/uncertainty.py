"""How sure a network with dropout is: many answers with dropout left on (Monte Carlo dropout).

Legend: S samples, N rows, K classes or targets.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from lamplighter.core.errors import LamplighterError
from lamplighter.core.seeding import derive
from lamplighter.data.loader import Loader
from lamplighter.data.source import Batch, Rows
from lamplighter.metrics.calibration import softmax
from lamplighter.metrics.ensembles import Uncertainty, uncertainty, variance
from lamplighter.metrics.score import Score
from lamplighter.tasks.base import Task
from lamplighter.train.evaluation import to_device


@contextmanager
def dropout_active(network: nn.Module) -> Iterator[list[str]]:
    """Dropout as in training, everything else as in evaluation; afterwards each layer is in the mode it was in.

    A BatchNorm in training mode would normalise by the batch and move its running statistics: the answer to a row
    would depend on its neighbours. Besides torch's own layers, those count whose class has ``Drop`` or
    ``StochasticDepth`` in its name.

    Args:
        network: any module.

    Yields:
        Names of the active layers.

    Raises:
        LamplighterError: there is no dropout in it, so all answers would be the same.
    """
    before = {module: module.training for module in network.modules()}
    active = [name or type(module).__name__ for name, module in network.named_modules() if _drops(module)]
    if not active:
        raise LamplighterError(
            "Monte Carlo dropout needs a network with dropout, and this one has none: give the model a dropout above "
            "0, or use an ensemble (task: {name: ensemble})"
        )
    network.eval()
    for module in network.modules():
        module.training = _drops(module)
    try:
        yield active
    finally:
        for module, training in before.items():
            module.training = training


def mc_dropout(task: Task, batch: Batch, samples: int = 30, seed: int = 0) -> np.ndarray:
    """Answers of S networks that differ in which units are dropped (Gal and Ghahramani 2016).

    Their mean is the prediction, their spread says how uncertain it is: an ensemble for the memory of one network, at S
    times its computation. `lamplighter.metrics.ensembles.uncertainty` takes the result as members.

    Args:
        task: a classification or regression.
        batch: rows without a target are left out.
        samples: S.
        seed: the same one gives the same masks; the global generators are left alone.

    Returns:
        float64 (S, N, K): probabilities, or numbers (N, T).
    """
    devices = [tensor.device for tensor in batch.values() if tensor.device.type == "cuda"]
    answers = []
    with dropout_active(task), torch.random.fork_rng(devices[:1]), torch.inference_mode():
        for sample in range(samples):
            torch.manual_seed(derive(seed, "mc-dropout", sample))
            outputs = task.evaluate(batch)
            if "logits" in outputs:
                answers.append(softmax(outputs["logits"].cpu().numpy()))
            else:
                answers.append(outputs["value"].double().cpu().numpy())
    return np.stack(answers)


def evaluate_mc_dropout(
    task: Task, rows: Rows, samples: int, batch_size: int, device: torch.device, seed: int = 0
) -> tuple[dict[str, Score], dict[str, float]]:
    """Judge the mean of `mc_dropout` on a whole split.

    Args:
        task: on ``device``.
        rows: the split.
        samples: answers to each row.
        batch_size: rows at a time.
        device: where to compute.
        seed: of the masks; every batch draws its own.

    Returns:
        Scores of the mean, and means over the rows: of classes ``entropy``, ``mutual_information`` and ``variance``, of
        numbers ``variance``.
    """
    parts, targets = [], []
    for number, batch in enumerate(Loader(rows, batch_size, shuffle=False)):
        placed = to_device(batch, device)
        parts.append(mc_dropout(task, placed, samples, derive(seed, "batch", number)))
        with torch.inference_mode():
            targets.append(_evaluated(task, placed)["y"])
    answers, y = np.concatenate(parts, axis=1), np.concatenate(targets)
    mean = answers.mean(axis=0)
    if np.issubdtype(y.dtype, np.floating):
        return task.scores({"value": mean, "y": y}), {"variance": float(variance(list(answers)).mean())}
    found: Uncertainty = uncertainty(list(answers))
    tiny = float(np.finfo(np.float64).tiny)
    scores = task.scores({"logits": np.log(np.maximum(mean, tiny)), "y": y})
    return scores, {
        "entropy": float(found.entropy.mean()),
        "mutual_information": float(found.mutual_information.mean()),
        "variance": float(found.variance.mean()),
    }


def _evaluated(task: Task, batch: Batch) -> dict[str, np.ndarray]:
    training = task.training
    outputs = task.eval().evaluate(batch)
    task.train(training)
    return {name: tensor.cpu().numpy() for name, tensor in outputs.items()}


def _drops(module: nn.Module) -> bool:
    """Attention and recurrent layers hold their dropout as a number instead of a layer."""
    if isinstance(module, nn.MultiheadAttention | nn.RNNBase):
        return float(module.dropout) > 0
    name = type(module).__name__
    if not isinstance(module, nn.modules.dropout._DropoutNd) and "Drop" not in name and "StochasticDepth" not in name:
        return False
    return float(getattr(module, "p", 1)) > 0

"""A model beside others on the same test rows: what each scores, how large it is, how long a row takes.

The others are what the task names: the members of an ensemble, the teacher of a student.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lamplighter.data.source import Source
from lamplighter.evaluate.ensembles import Diversity, OutOfBag, diversity, out_of_bag
from lamplighter.evaluate.glossary import figure, interval, meaning
from lamplighter.metrics.calibration import fit_temperature
from lamplighter.metrics.score import Score
from lamplighter.tasks.base import Task
from lamplighter.tasks.ensemble import Ensemble
from lamplighter.train.evaluation import evaluate

_SECONDS, _REPEATS = 0.1, 200


@dataclass(frozen=True)
class Compared:
    """One model of the comparison.

    Attributes:
        name: what it is.
        scores: on the test split, with a temperature of its own fitted on the validation split.
        parameters: trained numbers of the exported network.
        bytes: of its parameters and buffers.
        ms_per_row: median time of the exported network for a single row, in torch on the CPU.
    """

    name: str
    scores: dict[str, Score]
    parameters: int
    bytes: int
    ms_per_row: float


@dataclass(frozen=True)
class Comparison:
    """A model and those it is compared with.

    Attributes:
        models: the model itself first.
        metric: the score that the run was chosen by.
        diversity: of an ensemble: how far its members disagree, and what that says.
        out_of_bag: of a bagged ensemble: its scores on training rows, each judged by members that never saw it.
    """

    models: tuple[Compared, ...]
    metric: str
    diversity: Diversity | None = None
    out_of_bag: OutOfBag | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for scores.json."""
        return {
            "models": [
                {
                    "name": model.name,
                    "scores": {name: score.model_dump() for name, score in model.scores.items()},
                    "parameters": model.parameters,
                    "bytes": model.bytes,
                    "ms_per_row": model.ms_per_row,
                }
                for model in self.models
            ],
            "diversity": self.diversity and self.diversity.to_dict(),
            "out_of_bag": self.out_of_bag and self.out_of_bag.to_dict(),
        }

    def lines(self) -> list[str]:
        """For a terminal: one line for each model, then what else is known."""
        names = list(dict.fromkeys([self.metric, "loss"]))
        width = max(len(model.name) for model in self.models)
        lines = []
        for model in self.models:
            numbers = "  ".join(f"{name} {model.scores[name].value:.4f}" for name in names if name in model.scores)
            size = f"{model.parameters:,} parameters  {in_bytes(model.bytes)}  {model.ms_per_row:.3g} ms a row"
            lines.append(f"{model.name:<{width}}  {numbers}  {size}")
        lines += self.diversity.sentences() if self.diversity else []
        lines += self.out_of_bag.sentences() if self.out_of_bag else []
        return lines


def compare(
    task: Task,
    source: Source,
    outputs: Mapping[str, np.ndarray],
    scores: Mapping[str, Score],
    *,
    metric: str,
    batch_size: int,
    device: torch.device,
    calibrate: bool = True,
) -> Comparison | None:
    """Judge what a task is compared with on the test rows that it was just judged on.

    Args:
        task: with the weights that were judged, on ``device``.
        source: its data.
        outputs: of the task on the test split, uncalibrated.
        scores: made of them.
        metric: the score that the run was chosen by.
        batch_size: rows at a time.
        device: where to compute.
        calibrate: give each a temperature fitted on the validation split, as the task has one.

    Returns:
        None when the task names no others.
    """
    others = task.compared()
    if not others:
        return None
    models, answers = [measure("this model", task, dict(scores), source)], []
    for name, other in others.items():
        other.to(device)
        found, _ = evaluate(other, source.split("test"), batch_size, device)
        temperature = 1.0
        if calibrate and "logits" in found:
            val, _ = evaluate(other, source.split("val"), batch_size, device)
            temperature = fit_temperature(val["logits"], val["y"])
        calibrated = {key: value / temperature if key == "logits" else value for key, value in found.items()}
        answers.append(calibrated)
        models.append(measure(name, other, other.scores(calibrated), source))
    if not isinstance(task, Ensemble):
        return Comparison(tuple(models), metric)
    bagged = out_of_bag(task, source.split("train"), batch_size, device) if task.counts_MN is not None else None
    return Comparison(tuple(models), metric, diversity(answers, outputs), bagged)


def measure(name: str, task: Task, scores: dict[str, Score], source: Source) -> Compared:
    """Size and speed of the network that would be exported, beside its scores."""
    network: torch.nn.Module = task.export().module
    row = source.split("val").fetch(np.arange(1))
    tensors = [row[tensor.name] for tensor in source.signature.tensors]
    held = [*network.parameters(), *network.buffers()]
    return Compared(
        name=name,
        scores=scores,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        bytes=sum(tensor.numel() * tensor.element_size() for tensor in held),
        ms_per_row=_median_ms(network, tensors),
    )


def compared(comparison: Comparison, kind: str) -> dict[str, Any]:
    """What the report's page shows.

    Args:
        comparison: the models.
        kind: of answer, for words.
    """
    names = [name for name in dict.fromkeys([comparison.metric, "loss"]) if name in comparison.models[0].scores]
    words = [meaning(name, kind) for name in names]
    members = comparison.diversity.members if comparison.diversity else 0
    return {
        "titles": [word.title for word in words],
        "members": members,
        "models": [
            {
                "name": model.name,
                "scores": [
                    {"value": figure(score.value, word.style), "interval": interval(score, word.style)}
                    if (score := model.scores.get(name))
                    else {"value": "–", "interval": ""}
                    for name, word in zip(names, words)
                ],
                "parameters": f"{model.parameters:,}",
                "size": in_bytes(model.bytes),
                "ms": f"{model.ms_per_row:.3g}",
            }
            for model in comparison.models
        ],
        "sentences": [
            *(comparison.diversity.sentences() if comparison.diversity else []),
            *(comparison.out_of_bag.sentences() if comparison.out_of_bag else []),
        ],
    }


def in_bytes(count: int) -> str:
    """
    >>> in_bytes(512), in_bytes(24_000), in_bytes(4_480_000)
    ('512 B', '24.0 kB', '4.5 MB')
    """
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def _median_ms(network: torch.nn.Module, tensors: Sequence[torch.Tensor]) -> float:
    times: list[float] = []
    with torch.inference_mode():
        network(*tensors)  # the first call pays for set-up
        began = time.perf_counter()
        while len(times) < _REPEATS and time.perf_counter() - began < _SECONDS:
            start = time.perf_counter()
            network(*tensors)
            times.append((time.perf_counter() - start) * 1000)
    return float(np.median(times))

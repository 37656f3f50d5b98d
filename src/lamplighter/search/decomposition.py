"""Bias and variance of a recipe: trained again and again on half of its training rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lamplighter.core import files, seeding
from lamplighter.core.errors import DataError
from lamplighter.core.recipe import Recipe
from lamplighter.data.source import Source
from lamplighter.metrics import bias_variance as metrics
from lamplighter.metrics.bias_variance import Decomposition
from lamplighter.metrics.calibration import softmax
from lamplighter.run import Run
from lamplighter.search.many import Part, train_parts


@dataclass(frozen=True)
class BiasVariance:
    """Where a recipe's error comes from.

    Attributes:
        path: the folder, with a run for each repeat and ``bias-variance.json``.
        share: of the training rows that each run had.
        parts: loss -> its decomposition: ``squared error`` for numbers, ``brier`` and ``zero-one`` for classes.
    """

    path: Path
    share: float
    parts: dict[str, Decomposition]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-compatible data."""
        parts = {name: part.to_dict() for name, part in self.parts.items()}
        return {"path": str(self.path), "share": self.share, "parts": parts}

    @property
    def advice(self) -> str:
        """Which of the two is worth working on."""
        first = next(iter(self.parts.values()))
        if first.variance > first.bias:
            return (
                "most of it is variance, the models differ: more rows, regularisation, a smaller model, or an ensemble"
            )
        return (
            "most of it is bias (and noise), the models are wrong together: a larger model, longer training, or better "
            "inputs"
        )

    def lines(self) -> list[str]:
        """For people."""
        lines = [
            f"{name}: {part.loss:.4g} = bias (with noise) {part.bias:.4g} + variance {part.variance:.4g}"
            for name, part in self.parts.items()
        ]
        first = next(iter(self.parts.values()))
        about = f"{first.models} models, each trained on {self.share:.0%} of the training rows, on {first.rows:,} rows"
        return [about, *lines, self.advice]


def bias_variance(
    recipe: Recipe | str | Path,
    repeats: int = 10,
    *,
    share: float = 0.5,
    out: Path | str | None = None,
    resume: bool = False,
    progress: bool = True,
) -> BiasVariance:
    """Train a recipe on random parts of its training rows and split its error into bias and variance.

    Each repeat draws ``share`` of the training rows without replacement (Kohavi and Wolpert 1996) and has a seed of its
    own, so variance is what training rows and chance together do; epochs are raised so that each takes about as many
    optimizer steps as the recipe would. All are judged on the recipe's validation rows, which
    take no part in their training; the test split stays shut. Bias and variance are those of models that see ``share``
    of the rows. On real data nobody knows the truth without noise, so the bias holds the noise of the targets.

    Args:
        recipe: a recipe, its file, or the name of a built-in one.
        repeats: how many models.
        share: of the training rows.
        out: folder; by default the next free ``runs/<name>/bias-variance-<n>``.
        resume: go on in ``out``.
        progress: show a bar, or lines where there is no terminal.

    Raises:
        DataError: fewer than two repeats, or a task whose answers are neither classes nor numbers.
        InterruptedRunError: Ctrl-C or SIGTERM; the message has the command to resume.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    if repeats < 2 or not 0 < share <= 1:
        raise DataError(f"{repeats} repeats, share {share}: at least 2 repeats and a share above 0 up to 1 are needed")
    answers: list[dict[str, np.ndarray]] = []

    def parts(source: Source) -> list[Part]:
        train = source.splits.train
        count = max(2, round(share * len(train)))
        draws = [seeding.generator(recipe.seed, "bias-variance", number) for number in range(repeats)]
        return [
            Part(f"repeat-{number}", np.sort(draw.choice(train, count, replace=False)), recipe.seed + number - 1, "")
            for number, draw in enumerate(draws, start=1)
        ]

    def finished(part: Part, run: Run) -> str:
        outputs = run.answers("test", again=True)[1]
        answers.append(outputs)
        return f"{part.name}, {len(part.rows):,} rows"

    folder = train_parts(
        "bias-variance",
        recipe,
        {"repeats": repeats, "share": share},
        f"lamp study bias-variance {{recipe}} --repeats {repeats} --share {share:g}",
        Path(out) if out is not None else None,
        resume,
        progress,
        parts,
        finished,
    )
    result = BiasVariance(folder, share, _decompose(answers))
    files.write_json(folder / "bias-variance.json", result.to_dict())
    return result


def _decompose(answers: list[dict[str, np.ndarray]]) -> dict[str, Decomposition]:
    y = answers[0]["y"]
    if "logits" in answers[0] and y.ndim == 1 and np.issubdtype(y.dtype, np.integer):
        probabilities = np.stack([softmax(each["logits"]) for each in answers])
        classes = [each.get("answers", softmax(each["logits"]).argmax(axis=1)) for each in answers]
        return {"brier": metrics.brier(probabilities, y), "zero-one": metrics.zero_one(np.stack(classes), y)}
    if "value" in answers[0] and answers[0]["value"].shape == y.shape:
        return {"squared error": metrics.squared_error(np.stack([each["value"] for each in answers]), y)}
    raise DataError("bias and variance are known for one class, or numbers, of each row; this task answers otherwise")

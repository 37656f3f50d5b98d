"""One or more numbers for each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

from lamplighter.core.errors import DataError, RecipeError, TrainingError
from lamplighter.core.export_spec import ExportSpec
from lamplighter.core.recipe import AutoComponent
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Signature
from lamplighter.data.source import Batch
from lamplighter.data.tables import values
from lamplighter.losses.choose import Tail, for_numbers
from lamplighter.losses.criterion import build
from lamplighter.losses.mse import MSE
from lamplighter.losses.quantile import Quantile
from lamplighter.metrics import intervals, regression
from lamplighter.metrics.score import Score
from lamplighter.nn.exported import ExportedNetwork
from lamplighter.nn.input_norm import InputNorm
from lamplighter.nn.output_scale import OutputScale
from lamplighter.tasks.base import Loss, Task, for_export, full_precision, target_present


class Regression(Task):
    """Trains a network to predict numbers.

    The network sees targets standardised by the training split; `evaluate` and the exported network answer in the
    target's own units. ``loss`` is the loss of the standardised numbers everywhere, so that targets of different
    units weigh alike and the curves of train and validation can be compared; ``mae`` and ``rmse`` are in units.
    Batches hold ``x`` and ``y`` (N, T) with NaN for a blank, which does not count.

    What is answered depends on the loss: with mse the mean of what is to be expected, with mae the median, with
    quantile that quantile, with huber and its like something between mean and median.

    Args:
        model: maps normalised inputs to (N, T).
        signature: of the data; all its targets are numeric.
        input_statistics: mean and standard deviation of the inputs over the training split, per channel.
        target_statistics: mean and standard deviation of each target over the training split.
        seed: of the intervals of `scores`.
        loss: what training makes small. auto is mse, or huber when a target has heavy tails.
        tails: how far out the training values of each target lie, where that is known.

    Raises:
        DataError: a target is a category.
        RecipeError: the loss is not one of numbers, or has several quantiles.
    """

    def __init__(
        self,
        model: Annotated[nn.Module, FromData],
        signature: Annotated[Signature, FromData],
        input_statistics: Annotated[tuple[Sequence[float], Sequence[float]] | None, FromData] = None,
        target_statistics: Annotated[tuple[Sequence[float], Sequence[float]] | None, FromData] = None,
        seed: Annotated[int, FromData] = 0,
        loss: AutoComponent = "auto",
        tails: Annotated[Sequence[Tail] | None, FromData] = None,
    ) -> None:
        super().__init__()
        category = next((target for target in signature.targets if target.kind == "category"), None)
        if category:
            numbers = all(values.number(label) is not None for label in category.categories)
            raise DataError(
                f"task regression needs numeric targets, '{category.name}' is a category; "
                "use task: {name: classification}"
                + (", or predict the number: data: {target_kind: numeric}" if numbers else "")
            )
        self.targets = len(signature.targets)
        self.norm: nn.Module = InputNorm(*input_statistics) if input_statistics else nn.Identity()
        self.model = model
        self.scale = OutputScale(*(target_statistics or ([0.0] * self.targets, [1.0] * self.targets)))
        self.seed = seed
        self.notes: list[str] = []
        if loss == "auto":
            loss, reason = for_numbers([target.name for target in signature.targets], tails)
            self.notes.append(reason)
        self.loss = loss
        self.criterion = build(loss, ("numbers",), "regression")
        if isinstance(self.criterion, Quantile) and len(self.criterion.quantiles) > 1:
            raise RecipeError(["task.loss.quantiles: regression answers one number for each target; give one quantile"])

    def step(self, batch: Batch) -> Iterator[Loss]:
        y = self._two_dimensional(batch["y"])
        value, weight = self.criterion(self._standardised_answer(batch), self.scale.standardise(y))
        yield Loss(value, weight)

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        """``value`` and ``y``, (N, T) each, in units, of the rows that have at least one target."""
        y = self._two_dimensional(batch["y"])
        present = target_present(y)
        return {"value": self.scale(self._standardised_answer(batch))[present], "y": y[present]}

    def check_targets(self, y: Tensor) -> None:
        y = self._two_dimensional(y)
        infinite = torch.isinf(y).nonzero()
        if len(infinite):
            row, column = infinite[0].tolist()
            raise DataError(f"training row {row}, target {column}: the value is infinite; blanks are NaN")
        if bool(torch.isnan(y).all(dim=0).any()):
            column = int(torch.isnan(y).all(dim=0).nonzero()[0])
            raise DataError(f"no row of the training split has a value for target {column}")

    def resolved(self) -> dict[str, Any]:
        return {"loss": self.loss.replace(**self.criterion.resolved())}

    def metrics(self, outputs: dict[str, np.ndarray]) -> dict[str, float]:
        if isinstance(self.criterion, MSE):
            loss = regression.metrics(*self._standardised(outputs))["loss"]
        else:
            terms_N, weights_N = self._terms(outputs)
            loss = float(terms_N.sum() / weights_N.sum()) if weights_N.any() else np.nan
        return {**regression.metrics(outputs["value"], outputs["y"]), "loss": loss}

    def scores(self, outputs: dict[str, np.ndarray]) -> dict[str, Score]:
        result = regression.scores(outputs["value"], outputs["y"], seed=self.seed)
        if isinstance(self.criterion, MSE):
            loss = regression.scores(*self._standardised(outputs), seed=self.seed).get("loss")
        else:
            loss = self._loss_score(outputs)
        result.pop("loss", None)
        return {"loss": loss, **result} if loss else result

    def export(self) -> ExportSpec:
        network = ExportedNetwork(self.norm, self.model, self.scale)
        return ExportSpec(for_export(network), "regression", ("value", "embedding") if network.embeds else ("value",))

    def _standardised_answer(self, batch: Batch) -> Tensor:
        answer: Tensor = self.model(self.norm(batch["x"]))
        # Without this check (N,) - (N, 1) would broadcast to (N, N) and train on nonsense.
        if answer.shape != (len(batch["y"]), self.targets):
            raise TrainingError(
                f"the model's output has shape {tuple(answer.shape)}; regression needs (rows, {self.targets})"
            )
        return full_precision(answer)

    def _standardised(self, outputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        mean, std = (buffer.double().cpu().numpy() for buffer in (self.scale.mean, self.scale.std))
        return (outputs["value"] - mean) / std, (outputs["y"] - mean) / std

    def _terms(self, outputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """What each row with a target adds to the sum of the loss, and to its divisor; (N,) each."""
        given = ~np.isnan(outputs["y"]).all(axis=1)
        value, y = (torch.from_numpy(each[given]) for each in self._standardised(outputs))
        terms, weights = self.criterion.terms(value, y)
        return terms.flatten(1).sum(1).numpy(), weights.double().flatten(1).sum(1).numpy()

    def _loss_score(self, outputs: dict[str, np.ndarray]) -> Score | None:
        terms_N, weights_N = self._terms(outputs)
        if not weights_N.any() or not np.isfinite(terms_N).all():
            return None
        drawn = intervals.resampled_means(np.stack([terms_N, weights_N], axis=1), self.seed)
        low, high = intervals.percentile(drawn[:, 0] / drawn[:, 1])
        return Score(value=float(terms_N.sum() / weights_N.sum()), n=len(terms_N), low=low, high=high)

    def _two_dimensional(self, y: Tensor) -> Tensor:
        return y[:, None] if y.dim() == 1 else y

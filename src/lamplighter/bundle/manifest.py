"""The bundle's table of contents. Plain JSON, checked against this schema before anything in the bundle is used."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from lamplighter.core.export_spec import AnswerKind
from lamplighter.core.signature import Signature
from lamplighter.metrics.score import Score
from lamplighter.metrics.thresholds import answers

FORMAT_VERSION = 2


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Feature(_Part):
    """One number the monitor watches for each prediction.

    Attributes:
        name: column of the table, ``"brightness"``, ``"embedding[3]"``, ...
        kind: ``category`` values are codes: index into ``categories``, ``len(categories)`` for unseen, NaN for missing.
        origin: ``column`` of the raw row, statistic of the ``image`` or the ``text``, or entry of the network's
            ``embedding``.
    """

    name: str
    kind: Literal["numeric", "category"]
    origin: Literal["column", "image", "text", "embedding"]
    categories: tuple[str, ...] = ()


class Output(_Part):
    """How the network's first output becomes an answer.

    Attributes:
        kind: of answer, see `lamplighter.bundle.runtime.kinds`.
        labels: names of the classes, index by index.
        targets: names of the predicted numbers.
        temperature: fitted on the validation split (Guo et al. 2017); 1 when not calibrated.
        threshold: of two classes, the probability from which the positive one is answered; null: the likelier one is.
        positive: index of the positive class.
        settings: what the kind needs besides; it checks them itself.
    """

    kind: AnswerKind
    labels: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    threshold: Annotated[float | None, Field(ge=0, le=2, allow_inf_nan=False)] = None
    positive: Annotated[int, Field(ge=0, le=1)] = 1
    settings: dict[str, JsonValue] = {}

    def classes(self, probabilities: np.ndarray) -> np.ndarray:
        """(N,) index of the class that is answered, of (N, K) probabilities.

        The first of equally likely ones; with a threshold as `lamplighter.metrics.thresholds.decide` says. Server and
        monitor, which keeps probabilities in float32, both ask here.

        >>> Output(kind="classification", labels=("ok", "fraud"), threshold=0.2).classes(np.array([[0.7, 0.3]]))
        array([1])
        """
        if self.threshold is None:
            return np.asarray(probabilities.argmax(axis=1))
        return answers(probabilities, self.threshold, self.positive)

    @model_validator(mode="after")
    def _two_classes(self) -> Output:
        if self.threshold is not None and (self.kind != "classification" or len(self.labels) != 2):
            raise ValueError("a threshold decides between two classes")
        return self


class Parity(_Part):
    """Proof that the exported graph computes what was trained, from raw rows to answers.

    Attributes:
        max_abs: largest absolute difference of any output, torch against ONNX Runtime.
        atol: the bound that had to hold, but for rounding of large numbers:
        rtol: this share of the largest number in a row of the output was allowed on top.
        batch_sizes: sizes tried.
        rows: raw rows compared.
        labels_equal: whether all labels were equal (regression: whether all values were within ``atol``).
    """

    max_abs: float
    atol: float
    rtol: float = 0.0
    batch_sizes: tuple[int, ...]
    rows: int
    labels_equal: bool


class Manifest(_Part):
    """``manifest.json``.

    Attributes:
        format_version: refused when newer than this program knows.
        name: the model's name in URLs.
        version: string, shown in every answer.
        created: UTC time, ISO 8601.
        signature: columns in, tensors, targets.
        preprocessing: steps by catalog name, see ``lamplighter.data.preprocessing``.
        outputs: names of the graph's outputs, in order.
        output: how they become answers.
        features: what the monitor watches, in the order of ``reference.npz``.
        metrics: scores on the test split, the only place they come from.
        parity: see `Parity`.
        packages: versions the bundle was made with.
        recipe: the resolved recipe.
        files: name -> sha256 of every other file.
        assets: names of those that preprocessing reads, such as ``tokenizer.json``.
    """

    format_version: int
    name: str
    version: str
    created: str
    signature: Signature
    preprocessing: tuple[dict[str, Any], ...]
    outputs: tuple[str, ...]
    output: Output
    features: tuple[Feature, ...]
    metrics: dict[str, Score]
    parity: Parity
    packages: dict[str, str]
    recipe: dict[str, Any]
    files: dict[str, str]
    assets: tuple[str, ...] = ()

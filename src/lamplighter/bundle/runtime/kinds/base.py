"""What a kind of answer must say, to the runtime, to the parity gate, and to the monitor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from lamplighter.core.errors import BundleError, InputError
from lamplighter.data.preprocessing.pipeline import Pipeline, Tensors

if TYPE_CHECKING:
    from lamplighter.bundle.manifest import Output

Network = Callable[[Tensors], Tensors]
"""One pass of the exported network: the signature's tensors -> outputs by name, first dimension rows."""
Answer = dict[str, Any]
Truth = str | dict[str, float]


class Kind(ABC):
    """How the outputs of one network become answers.

    Legend: N rows, K numbers that the monitor keeps of each.

    Args:
        output: ``Manifest.output``: labels, temperature, settings.
        pipeline: the model's preprocessing; None where only records are read.

    Attributes:
        first: name of the network's first output.
        metric: the realised score that late labels give: ``accuracy`` (share of right answers) or ``mae``.
        headline: the one score of the test split to show: its key, its name, and whether it is a share.
        classes: whether the K numbers are probabilities of `columns`, of which one is the answer.
        many_passes: whether the network runs many times for an answer; fewer rows are then looked at when a bundle is
            made.
    """

    first: ClassVar[str]
    metric: ClassVar[Literal["accuracy", "mae"]] = "accuracy"
    headline: ClassVar[tuple[str, str, bool]] = ("accuracy", "accuracy", True)
    classes: ClassVar[bool] = False
    many_passes: ClassVar[bool] = False

    def __init__(self, output: Output, pipeline: Pipeline | None = None) -> None:
        self.output = output
        self.pipeline = pipeline
        self.check()

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Names of the K numbers that the monitor keeps of each answer."""

    def check(self) -> None:
        """Raises BundleError: the manifest lacks what this kind needs."""
        if not self.columns:
            raise BundleError(f"manifest.json: output: {self.output.kind} needs labels or targets")

    @abstractmethod
    def check_outputs(self, outputs: Tensors, tensors: Tensors) -> None:
        """Raises BundleError: an output of the network has another shape than this kind needs."""

    def run(self, network: Network, tensors: Tensors) -> Tensors:
        """All passes that an answer takes; one, unless a kind writes token by token or tile by tile."""
        return network(tensors)

    @abstractmethod
    def scores(self, outputs: Tensors, tensors: Tensors) -> np.ndarray:
        """(N, K) float64, what the monitor keeps.

        Raises:
            InputError: an output is not finite; names the row.
        """

    @abstractmethod
    def answers(self, outputs: Tensors, tensors: Tensors) -> list[Answer]:
        """One answer for each row; what is no plain data `plain` makes so.

        Raises:
            InputError: see `scores`.
        """

    def plain(self, answer: Answer) -> Answer:
        """An answer as data that JSON can hold."""
        return answer

    def kept(self, outputs: Tensors, tensors: Tensors) -> Tensors:
        """What `scores` and the monitor's features need of the outputs; small, since it waits in a queue."""
        return outputs

    @abstractmethod
    def difference(self, ours: Answer, theirs: Answer) -> str | None:
        """What is wrong with an answer of the bundle beside that of the trained network; None if nothing is."""

    @abstractmethod
    def entries(self, scores: np.ndarray, answers: Sequence[Answer] | None) -> list[dict[str, Any]]:
        """``label``, ``value`` and ``confidence`` of each answer, for the store.

        Args:
            scores: (N, K) float32.
            answers: as the client got them; None where only scores are at hand.
        """

    @abstractmethod
    def truth(self, given: Any) -> Truth:
        """What a client says was right, checked.

        Raises:
            InputError: not something this kind can be right about.
        """

    @abstractmethod
    def error(self, truth: Truth, label: str | None, scores: np.ndarray) -> float:
        """How wrong an answer was: 0 for right, 1 for wrong; the absolute error of numbers."""

    @abstractmethod
    def known(self) -> str:
        """What could turn out to be right, in words: the end of "model 'x' ..."."""

    @abstractmethod
    def truth_example(self) -> dict[str, Any]:
        """``{"label": ...}`` or ``{"value": ...}`` as feedback would hold it, for documentation."""

    @abstractmethod
    def fields(self, probabilities: bool) -> list[str]:
        """Keys of `flat` answers, the columns of a table of predictions."""

    @abstractmethod
    def flat(self, answer: Answer) -> Answer:
        """An answer as one row of a table."""

    def _finite(self, array: np.ndarray) -> None:
        finite = np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
        if not finite.all():
            raise InputError(
                "the network's answer is not a finite number; the values lie far outside of what it was trained on",
                row=int(np.argmin(finite)),
            )


def check_rows(name: str, array: np.ndarray, width: int | None, noun: str) -> None:
    """Raises BundleError unless an output is (N, width)."""
    if array.ndim != 2 or (width is not None and array.shape[1] != width):
        raise BundleError(f"the network's output '{name}' has shape {array.shape} for {width} {noun}")

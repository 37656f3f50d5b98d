"""Stop when the validation metric no longer improves."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field

from lamplighter.train.callbacks.base import Callback, State


class EarlyStopping(Callback):
    """Ends training ``patience`` validations after the best one (Prechelt 1998, "Early Stopping - But When?").

    The run keeps and exports the weights of the best validation, not the last. What is watched, and whether it should
    fall or rise, is the run's ``train.monitor``. A value v improves on the best b when

        v + d < b   (mode min)        v - d > b   (mode max)        d = min_delta, or min_delta * |b| when relative

    A relative delta suits losses that become tiny: at 1e-4 an absolute 0.001 would never again see an improvement.

    Args:
        patience: validations without improvement before training ends.
        min_delta: smallest change that counts as an improvement.
        relative: whether ``min_delta`` is a share of the best value instead of a number.
        warmup: epochs at the beginning whose validations neither count as the best nor as waiting.
        stopping_threshold: ends training as soon as the metric is better than this; null: never.
        divergence_threshold: ends training as soon as the metric is worse than this; null: never.
        check_finite: whether NaN or infinity ends training at once, for waiting rarely brings a network back; else it
            counts as no improvement.
    """

    def __init__(
        self,
        patience: Annotated[int, Field(ge=1)] = 3,
        min_delta: Annotated[float, Field(ge=0)] = 0.0,
        relative: bool = False,
        warmup: Annotated[int, Field(ge=0)] = 0,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
        check_finite: bool = True,
    ) -> None:
        self.patience = patience
        self.min_delta = min_delta
        self.relative = relative
        self.warmup = warmup
        self.stopping_threshold = stopping_threshold
        self.divergence_threshold = divergence_threshold
        self.check_finite = check_finite
        self.best: float | None = None
        self.waited = 0

    def on_restart(self, state: State) -> None:
        self.waited = 0  # what is asked for are more epochs

    def on_validation_end(self, state: State) -> None:
        value, name = float(state.monitored), f"validation {state.monitor}"
        if self.check_finite and not math.isfinite(value):
            state.stop(f"{name} is {value} after step {state.step}")
        elif self.warmup and _epochs_done(state) <= self.warmup:
            return
        elif self.stopping_threshold is not None and _better(value, self.stopping_threshold, state.mode):
            state.stop(f"{name} {value:.6g} is better than the stopping threshold {self.stopping_threshold:g}")
        elif self.divergence_threshold is not None and _better(self.divergence_threshold, value, state.mode):
            state.stop(f"{name} {value:.6g} is worse than the divergence threshold {self.divergence_threshold:g}")
        elif self._improves(value, state.mode):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
            if self.waited >= self.patience:
                state.stop(f"{name} has not improved {self._on_what()} for {_validations(self.waited)}")

    def _improves(self, value: float, mode: str) -> bool:
        if self.best is None:
            return math.isfinite(value)
        delta = self.min_delta * abs(self.best) if self.relative else self.min_delta
        return _better(value + delta if mode == "min" else value - delta, self.best, mode)

    def _on_what(self) -> str:
        if self.best is None:
            return "(it was never a finite number)"
        by = f" by {self.min_delta:.3g}{' of it' if self.relative else ''}" if self.min_delta else ""
        return f"on {self.best:.6g}{by}"

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.waited = state["best"], state["waited"]


def _better(a: float, b: float, mode: str) -> bool:
    return a < b if mode == "min" else a > b


def _epochs_done(state: State) -> float:
    """Epochs trained so far, with the part of the running one."""
    return state.step / state.steps_per_epoch if state.steps_per_epoch else float(state.epoch)


def _validations(count: int) -> str:
    return f"{count} validation{'s' if count > 1 else ''}"

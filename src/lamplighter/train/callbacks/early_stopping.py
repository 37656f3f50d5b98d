"""Stop when the validation metric no longer improves."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field

from lamplighter.train.callbacks.base import Callback, State


class EarlyStopping(Callback):
    """Ends training ``patience`` epochs after the best one. The run keeps the weights of the best epoch, not the last.

    What is watched, and whether it should fall or rise, is the run's ``train.monitor``. A value that is not finite
    stops at once: waiting would not bring it back.

    Args:
        patience: epochs without improvement before training ends.
        min_delta: smallest change that counts as an improvement.
    """

    def __init__(
        self,
        patience: Annotated[int, Field(ge=1)] = 3,
        min_delta: Annotated[float, Field(ge=0)] = 0.0,
    ) -> None:
        self.patience = patience
        self.min_delta = min_delta
        self.best: float | None = None
        self.waited = 0

    def on_epoch_end(self, state: State) -> None:
        value = float(state.monitored)
        if not math.isfinite(value):
            state.stop(f"validation {state.monitor} is {value} after epoch {state.epoch}")
        elif self._improves(value, state.mode):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
            if self.waited >= self.patience:
                state.stop(
                    f"validation {state.monitor} has not improved on {self.best:.6g} for {self.patience} "
                    f"epoch{'s' if self.patience > 1 else ''}"
                )

    def _improves(self, value: float, mode: str) -> bool:
        if self.best is None:
            return True
        return value < self.best - self.min_delta if mode == "min" else value > self.best + self.min_delta

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.waited = state["best"], state["waited"]

"""Curves for TensorBoard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamplighter.core import extras, yaml
from lamplighter.train.callbacks.base import Callback, State
from lamplighter.train.callbacks.logged import flat, numbers, recipe_of

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

extras.require("tensorboard")


class TensorBoard(Callback):
    """Writes the numbers of each validation, and the recipe, as TensorBoard event files into the run's directory.

    Look at all runs together with ``tensorboard --logdir runs``. The recipe stands under TEXT, its settings and the
    monitored metric under HPARAMS. A resumed run hides what it had written after its last checkpoint.

    Args:
        folder: name of the folder in the run's directory.
    """

    def __init__(self, folder: str = "tensorboard") -> None:
        self.folder = folder
        self.writer: SummaryWriter | None = None
        self._ended: Any = None

    def on_train_start(self, state: State) -> None:
        if not state.writes:
            return
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        again = state.step > 0
        self.writer = SummaryWriter(str(state.folder / self.folder), purge_step=state.step + 1 if again else None)
        recipe = recipe_of(state)
        # ``writer.add_hparams`` would begin a second run for these
        experiment, began, self._ended = hparams(_simple(flat(recipe)), {f"val/{state.monitor}": 0.0})
        if recipe and not again:
            self.writer.add_text("recipe", f"```yaml\n{yaml.dump(recipe)}```", 0)
            self._add(experiment)
            self._add(began)
        self.writer.flush()

    def on_validation_end(self, state: State) -> None:
        if self.writer is None:
            return
        for name, value in numbers(state).items():
            self.writer.add_scalar(name, value, state.step)
        self.writer.flush()

    def on_train_end(self, state: State) -> None:
        self._add(self._ended)

    def close(self, state: State) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def _add(self, summary: Any) -> None:
        if self.writer is not None:
            self.writer._get_file_writer().add_summary(summary)


def _simple(settings: dict[str, Any]) -> dict[str, bool | int | float | str]:
    """Settings of the types that the HPARAMS page knows."""
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value) for name, value in settings.items()
    }

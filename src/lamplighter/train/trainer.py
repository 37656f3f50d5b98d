"""The training loop. Read it from top to bottom: `fit` trains epochs, an epoch takes steps, a step learns from batches.

Two words: a *micro-batch* is what goes through the network at once; an optimizer *step* learns from ``accumulate`` of
them together, exactly as if they had been one batch.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lamplighter.core import registry
from lamplighter.core.errors import InterruptedRunError, TrainingError
from lamplighter.core.recipe import Monitored, Train
from lamplighter.core.seeding import derive
from lamplighter.data.loader import Loader
from lamplighter.data.source import Batch, Rows
from lamplighter.optim.groups import parameter_groups
from lamplighter.tasks.base import Loss, Task
from lamplighter.train import checkpoint, memory, rng
from lamplighter.train.averages import Averages
from lamplighter.train.callbacks.base import Callback, State
from lamplighter.train.evaluation import evaluate, to_device
from lamplighter.train.metrics_log import MetricsLog
from lamplighter.train.precision import Precision, to_layout
from lamplighter.train.progress import NoProgress
from lamplighter.train.run_folder import resume_command
from lamplighter.train.signals import StopRequest

Augment = Callable[[Batch, torch.Generator], Batch]


class Trainer:
    """Trains one task, keeps its best and its last state in ``folder/checkpoints``, and its diary in metrics.jsonl.

    Args:
        task: the networks and their losses.
        train: rows to learn from.
        val: rows that decide which epoch is best.
        settings: the recipe's ``train`` section.
        batch_size: rows of a micro-batch.
        seed: the recipe's seed.
        precision: how a step computes.
        device: where.
        folder: the run's directory; must exist.
        augment: random changes of training batches, in order.
        progress: what a person sees.
        stop: a request to stop, looked at after each step.
    """

    def __init__(
        self,
        task: Task,
        train: Rows,
        val: Rows,
        *,
        settings: Train,
        batch_size: int,
        seed: int,
        precision: Precision,
        device: torch.device,
        folder: Path,
        augment: Sequence[Augment] = (),
        progress: NoProgress | None = None,
        stop: StopRequest | None = None,
    ) -> None:
        self.task = task.to(device)
        precision.prepare(self.task)
        self.val = val
        self.loader = Loader(train, batch_size, seed=seed, drop_last=_last_batch_is_useless(task, train, batch_size))
        self.accumulate = settings.accumulate
        self.seed = seed
        self.precision = precision
        self.autocast = precision.autocast(device)
        self.scaler = precision.scaler(device)
        self.device = device
        self.folder = folder
        self.augment = augment
        self.progress = progress or NoProgress()
        self.stop = stop or StopRequest()
        self.log = MetricsLog(folder / "metrics.jsonl")
        self.averages = Averages()
        self.callbacks: list[Callback] = [
            registry.build("callback", c.name, c.params, {"seed": seed}) for c in settings.callbacks
        ]
        self.step_callbacks = [c for c in self.callbacks if type(c).on_step_end is not Callback.on_step_end]
        self.optimizers = {name: self._optimizer(name, settings) for name in task.optimizers}
        self.base_rates = {name: [group["lr"] for group in o.param_groups] for name, o in self.optimizers.items()}
        steps = settings.epochs * math.ceil(len(self.loader) / self.accumulate)
        self.schedule = registry.build(
            "schedule", settings.schedule.name, settings.schedule.params, {"total_steps": steps}
        )
        monitor = settings.monitor or Monitored(metric=task.monitor[0], mode=task.monitor[1])  # type: ignore[arg-type]
        self.state = State(task, monitor.metric, monitor.mode, settings.epochs)
        self.batch = 0  # micro-batches done of the current epoch
        self.seconds = 0.0  # spent on the current epoch before an interruption

    def fit(self) -> None:
        """Train until the last epoch, or until a callback asks to stop.

        Raises:
            TrainingError: a loss is not finite, memory does not suffice, or the monitored metric does not exist.
            InterruptedRunError: a signal came; the checkpoint is written.
        """
        self.progress.loss = self._shown_loss
        self.progress.start(self.state.epochs, len(self.loader))
        try:
            with memory.explained(self.loader.batch_size):
                for callback in self.callbacks:
                    callback.on_train_start(self.state)
                while not self.finished:
                    self._epoch()
        finally:
            self.progress.stop()
        if self.state.best is None:
            raise TrainingError(
                f"validation {self.state.monitor} was never a finite number, so no epoch is the best; "
                "monitor another metric (train.monitor)"
            )

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return self.state.epoch >= self.state.epochs or self.state.stop_reason is not None

    def _epoch(self) -> None:
        """One pass over the training rows, then validation."""
        began = time.perf_counter() - self.seconds
        self.task.train()
        self.progress.epoch(self.state.epoch + 1, self.batch)
        batches = iter(self.loader)
        while micro_batches := list(itertools.islice(batches, self.accumulate)):
            self._step(micro_batches)
            self.batch += len(micro_batches)
            self.progress.advance(len(micro_batches), _rows(micro_batches))
            if self.stop.signum is not None:
                self._interrupt(began)
        self._validate(began)

    def _step(self, micro_batches: list[Batch]) -> None:
        """One optimizer step, or one for each phase of the task (a GAN has two).

        ``task.step`` is a generator: it runs up to a loss, waits while we step on it, and goes on to the next. The
        generators of all micro-batches advance together, phase by phase, so that each phase sees the weights that the
        phase before left behind.
        """
        phases = [self.task.step(self._prepare(batch, self.batch + index)) for index, batch in enumerate(micro_batches)]
        rows = _rows(micro_batches)
        stepped: list[str] = []
        while True:
            losses: list[Loss] = []
            for phase in phases:
                with self.autocast:  # left and entered for each pass: 16-bit copies of the weights must not get stale
                    loss = next(phase, None)
                if loss is None:
                    break
                value = loss.value if len(phases) == 1 else loss.value * loss.weight / rows
                self.scaler.scale(value).backward(retain_graph=loss.retain_graph)
                losses.append(loss)
            if len(losses) < len(phases):
                break
            if losses[0].optimizer in stepped:  # a second step of one optimizer: the scaler wants to be told
                self.scaler.update()
            self._update(losses, rows)
            stepped.append(losses[0].optimizer)
        if losses or not stepped:
            raise TrainingError("task.step must yield at least one loss, and equally many for each micro-batch")
        self.scaler.update()
        self.state.step += 1
        for callback in self.step_callbacks:
            callback.on_step_end(self.state)

    def _update(self, losses: list[Loss], rows: int) -> None:
        """Let the optimizer of this phase step on the gradients that its losses left in the parameters."""
        name = losses[0].optimizer
        if name not in self.optimizers:
            raise TrainingError(f"a loss names the optimizer '{name}'; the task has {', '.join(self.optimizers)}")
        optimizer = self.optimizers[name]
        if len(losses) > 1:
            _scale_gradients(optimizer, rows, sum(float(loss.weight) for loss in losses))
        factor = self.schedule(self.state.step)
        for group, rate in zip(optimizer.param_groups, self.base_rates[name]):
            group["lr"] = rate * factor
        self.scaler.step(optimizer)
        for each in self.optimizers.values():  # a phase's loss reaches the networks of other phases too
            each.zero_grad(set_to_none=True)
        label = "loss" if name == "main" else f"{name}_loss"
        for loss in losses:
            self.averages.add(label, loss.value.detach(), loss.weight, self.state.step + 1)
            for metric, value in loss.metrics.items():
                self.averages.add(metric, value.detach(), loss.weight, self.state.step + 1)

    def _prepare(self, batch: Batch, index: int) -> Batch:
        """To the device, augmented, in the memory order. Random draws depend on seed, epoch and batch alone."""
        batch = to_device(batch, self.device)
        if self.augment:
            generator = torch.Generator(self.device)
            generator.manual_seed(derive(self.seed, "augment", self.state.epoch, index))
            for augment in self.augment:
                batch = augment(batch, generator)
        return to_layout(batch, self.precision)

    def _validate(self, began: float) -> None:
        """Judge the epoch, remember whether it is the best so far, write diary and checkpoints."""
        try:
            outputs, _ = evaluate(
                self.task, self.val, 2 * self.loader.batch_size, self.device, self.precision, self.stop
            )
        except InterruptedRunError:
            self._interrupt(began)
        trained = {f"train/{name}": mean for name, mean in self.averages.means().items()}
        judged = {f"val/{name}": value for name, value in self.task.metrics(outputs).items()}
        rate = next(iter(self.base_rates.values()))[0] * self.schedule(self.state.step - 1)
        state = self.state
        state.epoch += 1
        state.metrics = {**trained, **judged, "lr": rate}
        self.batch, self.seconds = 0, 0.0
        self.averages.reset(state.epoch + 1)
        is_best = self._is_best()
        for callback in self.callbacks:
            callback.on_epoch_end(state)
        seconds = round(time.perf_counter() - began, 3)
        self.log.append(
            {"event": "epoch", "epoch": state.epoch, "step": state.step, "seconds": seconds, **state.metrics}
        )
        if state.stop_reason is not None:
            self.log.append({"event": "stop", "epoch": state.epoch, "step": state.step, "reason": state.stop_reason})
        self.progress.message(self._summary(seconds, is_best))
        if is_best:
            self._save("best")
        self._save("last")
        if self.stop.signum is not None and not self.finished:
            raise self._interruption()

    def _is_best(self) -> bool:
        state = self.state
        if f"val/{state.monitor}" not in state.metrics:
            known = ", ".join(name.removeprefix("val/") for name in state.metrics if name.startswith("val/"))
            raise TrainingError(f"train.monitor.metric: this task has no '{state.monitor}'; it has {known}")
        value = float(state.monitored)
        if not math.isfinite(value):
            return False
        if state.best is not None and (value >= state.best if state.mode == "min" else value <= state.best):
            return False
        state.best, state.best_epoch = value, state.epoch
        return True

    def _summary(self, seconds: float, is_best: bool) -> str:
        metrics, state = self.state.metrics, self.state
        shown = dict.fromkeys(["train/loss", "val/loss", f"val/{state.monitor}"])
        numbers = "  ".join(f"{name} {metrics[name]:.4f}" for name in shown if name in metrics)
        line = f"epoch {state.epoch}/{state.epochs}  {numbers}  {seconds:.1f} s{'  best' if is_best else ''}"
        return f"{line}\nstopping: {state.stop_reason}" if state.stop_reason else line

    def _shown_loss(self) -> float:
        self.averages.drain()
        return self.averages.last_loss

    def resume(self) -> bool:
        """Go to where the last checkpoint was written; False when there is none.

        What the diary says of later steps is dropped: they are done again, with the same result.
        """
        for name in ("best", "last"):
            checkpoint.repair(self.folder / "checkpoints" / name)
        path = self.folder / "checkpoints" / "last"
        if not checkpoint.exists(path):
            return False
        checkpoint.load_model(path, self.task)
        saved = checkpoint.load_state(path)
        for name, optimizer in self.optimizers.items():
            checkpoint.load_optimizer_state(optimizer, saved["optimizers"][name])
        for callback, own in zip(self.callbacks, saved["callbacks"]):
            callback.load_state_dict(own)
        self.scaler.load_state_dict(saved["scaler"])
        for field in ("epoch", "step", "best", "best_epoch", "stop_reason"):
            setattr(self.state, field, saved[field])
        self.batch, self.seconds = saved["batch"], saved["seconds"]
        self.averages.reset(self.state.epoch + 1)
        self.averages.load_state_dict(saved["averages"])
        self.loader.load_state_dict({"epoch": self.state.epoch, "batch": self.batch})
        self.log.truncate(None if self.finished else saved["records"])
        rng.set_state(saved["rng"])
        return True

    def _save(self, name: str) -> None:
        state = self.state
        saved: dict[str, Any] = {
            **{field: getattr(state, field) for field in ("epoch", "step", "best", "best_epoch", "stop_reason")},
            "batch": self.batch,
            "seconds": self.seconds,
            "records": len(self.log),
            "averages": self.averages.state_dict(),
            "scaler": self.scaler.state_dict(),
            "callbacks": [callback.state_dict() for callback in self.callbacks],
            "optimizers": {key: checkpoint.optimizer_state(o) for key, o in self.optimizers.items()},
            "rng": rng.get_state(),
        }
        checkpoint.save(self.folder / "checkpoints" / name, self.task, saved)

    def _interrupt(self, began: float) -> None:
        self.seconds = time.perf_counter() - began
        self._save("last")
        raise self._interruption()

    def _interruption(self) -> InterruptedRunError:
        where = f"epoch {self.state.epoch + 1}, step {self.state.step}"
        return InterruptedRunError(
            f"stopped in {where}; the checkpoint is written; go on with: {resume_command(self.folder)}",
            self.stop.signum or 2,
        )

    def _optimizer(self, name: str, settings: Train) -> torch.optim.Optimizer:
        groups = parameter_groups(self.task, self.task.parameters_of(name))
        optimizer: torch.optim.Optimizer = registry.build(
            "optimizer", settings.optimizer.name, settings.optimizer.params, {"params": groups}
        )
        return optimizer


def _rows(batches: list[Batch]) -> int:
    return sum(len(next(iter(batch.values()))) for batch in batches)


def _scale_gradients(optimizer: torch.optim.Optimizer, rows: int, weight: float) -> None:
    """Losses were divided by the number of rows, known beforehand; make that the sum of their weights."""
    if weight in (rows, 0):
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad.mul_(rows / weight)


def _last_batch_is_useless(task: nn.Module, rows: Rows, batch_size: int) -> bool:
    """Whether an epoch would end with a batch of one row in a network that normalises over the batch.

    One row has no variance; torch refuses it. Leaving it out costs another random row in each epoch.
    """
    normalises = any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in task.modules())
    return normalises and batch_size > 1 and len(rows) > batch_size and len(rows) % batch_size == 1

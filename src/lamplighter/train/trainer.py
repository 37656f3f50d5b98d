"""The training loop. Read it from top to bottom: `fit` trains epochs, an epoch takes steps, a step learns from batches.

Two words: a *micro-batch* is what goes through the network at once; an optimizer *step* learns from ``accumulate`` of
them together, exactly as if they had been one batch.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lamplighter.core.errors import InterruptedRunError, TrainingError
from lamplighter.core.recipe import Monitored, Train
from lamplighter.core.seeding import derive
from lamplighter.data.loader import Loader
from lamplighter.data.source import Batch, Rows
from lamplighter.losses.criterion import Criterion
from lamplighter.optim.sam import ASCENT
from lamplighter.tasks.base import Loss, Task, every_metric
from lamplighter.train import assembly, checkpoint, finite, memory, rng
from lamplighter.train.averages import Averages
from lamplighter.train.callbacks.base import Callback, State, overrides
from lamplighter.train.distributed.strategy import Strategy
from lamplighter.train.evaluation import evaluate, to_device
from lamplighter.train.metrics_log import MetricsLog
from lamplighter.train.precision import Precision, to_layout
from lamplighter.train.progress import NoProgress
from lamplighter.train.run_folder import resume_command
from lamplighter.train.signals import StopRequest

Augment = Callable[[Batch, torch.Generator], Batch]

# What a checkpoint keeps of `State` and of the trainer itself.
_OF_STATE = ("epoch", "step", "metrics", "best", "best_epoch", "best_step", "stop_reason")
_OF_TRAINER = ("batch", "seconds", "elapsed", "validated", "skipped", "skipped_steps")


class Trainer:
    """Trains one task, keeps its best and its last state in ``folder/checkpoints``, and its diary in metrics.jsonl.

    Args:
        task: the networks and their losses.
        train: rows to learn from.
        val: rows that decide which weights are best.
        settings: the recipe's ``train`` section.
        batch_size: rows of a micro-batch.
        seed: the recipe's seed.
        precision: how a step computes.
        device: where.
        folder: the run's directory; must exist.
        augment: random changes of training batches, in order.
        callbacks: further callbacks, after those of the settings.
        strategy: how several processes train together; by default there is one.
        facts: what the data says, for parameters of callbacks marked `FromData`.
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
        callbacks: Sequence[Callback] = (),
        strategy: Strategy | None = None,
        facts: Mapping[str, Any] | None = None,
        progress: NoProgress | None = None,
        stop: StopRequest | None = None,
    ) -> None:
        self.task = task.to(device)
        precision.prepare(self.task)
        self.strategy = strategy or Strategy()
        self.alone = self.strategy.world == 1
        self.strategy.prepare(self.task)
        self.settings = settings
        self.val = val
        self.loader = Loader(
            train,
            batch_size,
            seed=seed,
            drop_last=_last_batch_is_useless(task, train, batch_size),
            index=task.wants_index,
            rank=self.strategy.rank,
            world=self.strategy.world,
        )
        self.accumulate = settings.accumulate
        self.seed = seed
        self.precision = precision
        self.autocast = precision.autocast(device)
        self.scaler = precision.scaler(device)
        self.scales = self.scaler.is_enabled()
        self.device = device
        self.folder = folder
        self.augment = augment
        self.progress = progress or NoProgress()
        self.stop = stop or StopRequest()
        self.log = MetricsLog(folder / "metrics.jsonl", writes=self.strategy.main)
        self.averages = Averages()
        self.optimizers = assembly.optimizers(task, settings)
        self.phases_of = assembly.phases(task, settings, self.optimizers)
        self.base_rates = {name: [group["lr"] for group in o.param_groups] for name, o in self.optimizers.items()}
        self.clip = assembly.clip(task, settings)
        asks = (settings.validate_steps, settings.checkpoint_steps, settings.max_steps, settings.max_time)
        self.pauses = any(asked is not None for asked in asks)
        self.limits = self.clip is not None or settings.non_finite == "skip"  # whether the norm of gradients is needed
        self.parameters = list(task.parameters())
        self.steps_per_epoch = math.ceil(len(self.loader) / self.accumulate)
        monitor = settings.monitor or Monitored(metric=task.monitor[0], mode=task.monitor[1])  # type: ignore[arg-type]
        self.state = State(
            task,
            monitor.metric,
            monitor.mode,
            settings.epochs,
            folder=folder,
            total_steps=min(settings.epochs * self.steps_per_epoch, settings.max_steps or 2**63),
            steps_per_epoch=self.steps_per_epoch,
            optimizers=self.optimizers,
            training_batches=self._training_batches,
            autocast=self.autocast,
            schedule=lambda step: self.schedule(step - self.schedule_began[1]),
            writes=self.strategy.main,
            strategy=self.strategy,
        )
        self.callbacks = [
            *assembly.callbacks(settings, {**(facts or {}), "seed": seed, "epochs": settings.epochs}),
            *callbacks,
        ]
        judging = [type(c).__name__ for c in self.callbacks if overrides(c, "judging")]
        if len(judging) > 1:
            raise TrainingError(
                f"train.callbacks: {' and '.join(judging)} both decide which weights are judged; keep one"
            )
        self.batch_callbacks = [c for c in self.callbacks if overrides(c, "on_batch")]
        self.step_callbacks = [c for c in self.callbacks if overrides(c, "on_step_end")]
        self.rows = 0  # of the latest step
        self.batch = 0  # micro-batches done of the current epoch
        self.seconds = 0.0  # spent on the current epoch before an interruption
        self.elapsed = 0.0  # spent on the epochs before
        self.skipped = 0  # steps in a row that were skipped
        self.skipped_steps = 0  # steps of the current epoch that were skipped
        self.all_stop = False  # whether a signal came to any of several processes
        self.saved = 0  # the step after which the latest checkpoint was
        self.validated = 0  # the step after which the latest validation was
        self._begin_schedule()
        if settings.compile:
            for network in task.children():
                if not isinstance(network, Criterion):
                    network.compile()

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
                for callback in self.callbacks:
                    callback.on_train_end(self.state)
        finally:
            self.progress.stop()
            for callback in self.callbacks:
                callback.close(self.state)
        if self.state.best is None:
            raise TrainingError(
                f"validation {self.state.monitor} was never a finite number, so no weights are the best; "
                "monitor another metric (train.monitor)"
            )

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return self.state.epoch >= self.state.epochs or self.state.stop_reason is not None

    def _epoch(self) -> None:
        """One pass over the training rows, then validation."""
        began = time.perf_counter() - self.seconds
        state, settings = self.state, self.settings
        if self.batch == 0 and state.epoch in settings.restarts and self.schedule_began[0] != state.epoch:
            self._begin_schedule()
        self.task.train()
        self.progress.epoch(state.epoch + 1, self.batch)
        for callback in self.callbacks:
            callback.on_epoch_start(state)
        batches = iter(self.loader)
        while not self._ends_here(began) and (micro_batches := list(itertools.islice(batches, self.accumulate))):
            self._step(micro_batches)
            self.batch += len(micro_batches)
            self.progress.advance(len(micro_batches), self.rows)
            if self.stop.signum is not None and (self.alone or self.all_stop):
                self._interrupt(began)
        self._end_epoch(began)

    def _ends_here(self, began: float) -> bool:
        """Whether the epoch ends before its next step; validates and saves between two steps where that is due."""
        if self.pauses:
            self._pause(began)
        return self.state.stop_reason is not None

    def _pause(self, began: float) -> None:
        """What the recipe asks for in the middle of an epoch: validations, checkpoints, limits."""
        settings, state = self.settings, self.state
        within = 0 < self.batch < len(self.loader)
        due = within and settings.validate_steps and state.step % settings.validate_steps == 0
        if due and self.validated != state.step:
            self._validate(began)
            self._note("validation", began, state.metrics)
        if settings.max_steps is not None and state.step >= settings.max_steps:
            state.stop(f"train.max_steps: {settings.max_steps} steps are done")
        if settings.max_time is not None and self._agreed(
            self.elapsed + time.perf_counter() - began >= settings.max_time
        ):
            state.stop(f"train.max_time: {settings.max_time:g} seconds are over")
        save = within and settings.checkpoint_steps and state.step % settings.checkpoint_steps == 0
        if save and self.saved != state.step:
            self.seconds = time.perf_counter() - began
            self._save("last")

    def _step(self, micro_batches: list[Batch]) -> None:
        """One optimizer step, or one for each phase of the task (a GAN has two).

        ``task.step`` is a generator: it runs up to a loss, waits while we step on it, and goes on to the next. The
        generators of all micro-batches advance together, phase by phase, so that each phase sees the weights that the
        phase before left behind.
        """
        self.micro_batches = [self._prepare(batch, self.batch + index) for index, batch in enumerate(micro_batches)]
        phases = [self.phases_of(batch) for batch in self.micro_batches]
        self.rows = rows = _rows(micro_batches) if self.alone else self._begin_shared_step(len(phases))
        stepped: list[str] = []
        while True:
            losses: list[Loss] = []
            for index, phase in enumerate(phases):
                with self.autocast:  # left and entered for each pass: 16-bit copies of the weights must not get stale
                    if self.alone:
                        loss = next(phase, None)
                    else:
                        loss = self.strategy.advance(phase, not stepped, index == len(phases) - 1)
                if loss is None:
                    break
                if not self.alone and self.loader.rows_of(self.batch + index)[1] == 0:
                    loss.weight = 0.0  # not this process's row
                value = loss.value if self.alone and len(phases) == 1 else loss.value * loss.weight / rows
                scaled = self.scaler.scale(value) if self.scales else value
                scaled.backward(retain_graph=loss.retain_graph)
                losses.append(loss)
            if len(losses) < len(phases):
                break
            if losses[0].optimizer in stepped:  # a second step of one optimizer: the scaler wants to be told
                self.scaler.update()
            self._update(losses, rows)
            stepped.append(losses[0].optimizer)
        if losses or not stepped:
            raise TrainingError("task.step must yield at least one loss, and equally many for each micro-batch")
        if self.scales:
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
        if len(losses) > 1 or not self.alone:
            _scale_gradients(optimizer, rows, self._weight(optimizer, losses))
        factor = self.schedule(self.state.step - self.schedule_began[1])
        for group, rate in zip(optimizer.param_groups, self.base_rates[name]):
            group["lr"] = rate * factor
        norm = self._limit(optimizer) if self.limits and name != ASCENT else None
        values = [loss.value.detach() for loss in losses]
        if self._is_sound(losses, values, norm):
            self.scaler.step(optimizer)
            self._log(name, losses, values, norm)
        for parameter in self.parameters:  # a phase's loss reaches the networks of other phases too
            parameter.grad = None

    def _begin_shared_step(self, micro_batches: int) -> int:
        """Rows of a step in all processes; dropout masks that depend on step and process alone."""
        torch.manual_seed(derive(self.seed, "step", self.state.step, self.strategy.rank))
        return sum(self.loader.rows_of(self.batch + index)[0] for index in range(micro_batches))

    def _weight(self, optimizer: torch.optim.Optimizer, losses: list[Loss]) -> float:
        """Sum of the losses' weights; with several processes in all of them, and gradients are summed up, too."""
        weight = sum(float(loss.weight) for loss in losses)
        if self.alone:
            return weight
        stops = float(self.stop.signum is not None)
        weight, stops = self.strategy.reduce(_parameters(optimizer), [weight, stops])
        self.all_stop = stops > 0
        if self.all_stop and self.stop.signum is None:
            self.stop.signum = signal.SIGTERM
        return weight

    def _agreed(self, wish: bool) -> bool:
        """Whether any process wishes it."""
        return wish if self.alone else self.strategy.sum([float(wish)])[0] > 0

    def _limit(self, optimizer: torch.optim.Optimizer) -> Tensor:
        """Clip the gradients; their norm before."""
        self.scaler.unscale_(optimizer)
        parameters = _parameters(optimizer)
        return self.clip(parameters) if self.clip else finite.norm(parameters)

    def _is_sound(self, losses: list[Loss], values: list[Tensor], norm: Tensor | None) -> bool:
        """Whether the optimizer may step: losses and gradients are finite.

        A loss on a GPU is looked at later (`Averages.drain`), unless the recipe asks for skipping: a look now would
        wait for the device. Gradients of fp16 may overflow: the scaler skips such a step and tries a smaller scale.
        """
        skip = self.settings.non_finite == "skip"
        if not skip and self.device.type != "cpu":
            return True
        if not self.alone:  # the summed gradients tell every process the same
            values = []
        sound = all(math.isfinite(value) or not loss.weight for loss, value in zip(losses, values))
        if sound and norm is not None and (skip or not self.scaler.is_enabled()):
            sound = math.isfinite(norm)
        if sound:
            self.skipped = 0
            return True
        if not skip or self.skipped == finite.PATIENCE:
            numbers = values if norm is None else [*values, norm]
            epoch, step = self.state.epoch + 1, self.state.step + 1
            raise finite.error(self.task, self.micro_batches, numbers, epoch, step, self.skipped, self.autocast)
        self.skipped += 1
        self.skipped_steps += 1
        return False

    def _log(self, name: str, losses: list[Loss], values: list[Tensor], norm: Tensor | None) -> None:
        """Add a step's numbers to the means of the epoch."""
        label, step = "" if name in ("main", ASCENT) else f"{name}_", self.state.step + 1
        for loss, value in zip(losses, values):
            if not loss.logged:
                continue
            self.averages.add(f"{label}loss", value, loss.weight, step)
            for metric, tensor in loss.metrics.items():
                self.averages.add(metric, tensor.detach(), loss.weight, step)
        if norm is not None:
            self.averages.add(f"{label}grad_norm", norm, 1, step)

    def _prepare(self, batch: Batch, index: int) -> Batch:
        """To the device, augmented, in the memory order. Random draws depend on seed, epoch and batch alone."""
        batch = to_device(batch, self.device)
        if self.augment or self.batch_callbacks:
            generator = torch.Generator(self.device)
            process = () if self.alone else (self.strategy.rank,)
            generator.manual_seed(derive(self.seed, "augment", self.state.epoch, index, *process))
            for augment in self.augment:
                batch = augment(batch, generator)
            for callback in self.batch_callbacks:
                batch = callback.on_batch(batch, self.state, generator)
        return to_layout(batch, self.precision)

    def _training_batches(self) -> Iterator[Batch]:
        """All rows in an order of their own, the same in every process: rows sorted by class would mislead."""
        loader = Loader(
            self.loader.rows, self.loader.batch_size, seed=derive(self.seed, "pass"), drop_last=self.loader.drop_last
        )
        for batch in loader:
            yield to_layout(to_device(batch, self.device), self.precision)

    def _begin_schedule(self) -> None:
        """The schedule starts at the current step, and ends where training, or the next restart, will be."""
        ends = min(end for end in (*self.settings.restarts, self.state.epochs) if end > self.state.epoch)
        steps = (ends - self.state.epoch) * self.steps_per_epoch
        if self.settings.max_steps is not None:
            steps = max(1, min(steps, self.settings.max_steps - self.state.step))
        self.schedule = assembly.schedule(self.settings, steps, self.steps_per_epoch)
        self.schedule_began = (self.state.epoch, self.state.step)

    def _end_epoch(self, began: float) -> None:
        """Judge the epoch where it is due, write diary and checkpoint."""
        state = self.state
        ends = state.epoch + 1 >= state.epochs or state.stop_reason is not None
        if (ends or (state.epoch + 1) % self.settings.validate_every == 0) and self.validated != state.step:
            self._validate(began)
        state.epoch, self.batch = state.epoch + 1, 0
        for callback in self.callbacks:
            callback.on_epoch_end(state)
        if state.stop_reason is not None and self.validated != state.step:  # a callback asked at an epoch's end
            self._validate(began)
        metrics = state.metrics if self.validated == state.step else {**self._trained(), "lr": self._rate()}
        self._note("epoch", began, metrics)
        if self.skipped_steps:
            self.progress.message(
                f"{self.skipped_steps} steps of this epoch were skipped: their loss or gradient was not finite; "
                f"{finite.ADVICE}"
            )
        if state.stop_reason is not None:
            self.log.append({"event": "stop", "epoch": state.epoch, "step": state.step, "reason": state.stop_reason})
            self.progress.message(f"stopping: {state.stop_reason}")
        self.elapsed += time.perf_counter() - began
        self.seconds, self.skipped_steps = 0.0, 0
        self.averages.reset(state.epoch + 1)
        self._save("last")
        if self._agreed(self.stop.signum is not None) and not self.finished:
            raise self._interruption()

    def _validate(self, began: float) -> None:
        """Judge the weights (a callback may average them first), and keep them when they are the best so far."""
        state = self.state
        with contextlib.ExitStack() as judged:
            for callback in self.callbacks:
                judged.enter_context(callback.judging(state))
            try:
                outputs, _ = evaluate(
                    self.task,
                    self.val,
                    2 * self.loader.batch_size,
                    self.device,
                    self.precision,
                    self.stop if self.alone else None,
                    self.strategy,
                )
            except InterruptedRunError:
                judged.close()
                self._interrupt(began)
            scores = {f"val/{name}": value for name, value in every_metric(self.task, outputs).items()}
            state.metrics = {**self._trained(), **scores, "lr": self._rate()}
            self.validated = state.step
            if self._is_best():
                self._save("best")
            for callback in self.callbacks:
                callback.on_validation_end(state)
        if hasattr(self.schedule, "observe"):
            self.schedule.observe(float(state.monitored), state.mode)

    def _trained(self) -> dict[str, float]:
        """Means over the epoch so far."""
        trained = {f"train/{name}": mean for name, mean in self.averages.means(self.strategy.sum).items()}
        if self.settings.non_finite == "skip":
            trained["train/skipped_steps"] = float(self.skipped_steps)
        return trained

    def _rate(self) -> float:
        """The learning rate of the latest step."""
        factor = self.schedule(self.state.step - 1 - self.schedule_began[1])
        return float(next(iter(self.base_rates.values()))[0] * factor)

    def _note(self, event: str, began: float, metrics: Mapping[str, float]) -> None:
        """A line in the diary, and one for the person who watches."""
        state, seconds = self.state, round(time.perf_counter() - began, 3)
        epoch = self._running_epoch
        self.log.append({"event": event, "epoch": epoch, "step": state.step, "seconds": seconds, **metrics})
        shown = dict.fromkeys(["train/loss", "val/loss", f"val/{state.monitor}"])
        numbers = "  ".join(f"{name} {metrics[name]:.4f}" for name in shown if name in metrics)
        where = f"epoch {epoch}/{state.epochs}" + (f", step {state.step}" if event == "validation" else "")
        best = "  best" if self.validated == state.step == state.best_step else ""
        self.progress.message(f"{where}  {numbers}  {seconds:.1f} s{best}")

    @property
    def _running_epoch(self) -> int:
        """The epoch that is being trained, counting from 1; between two epochs the one that was completed."""
        return self.state.epoch + (self.batch > 0)

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
        state.best, state.best_epoch, state.best_step = value, self._running_epoch, state.step
        return True

    def _shown_loss(self) -> float:
        self.averages.drain()
        return self.averages.last_loss

    def resume(self) -> bool:
        """Go to where the last checkpoint was written; False when there is none.

        What the diary says of later steps is dropped: they are done again, with the same result. A finished training
        goes on when ``settings`` has more epochs and a restart where it ended.
        """
        for name in ("best", "last"):
            checkpoint.repair(self.folder / "checkpoints" / name)
        path = self.folder / "checkpoints" / "last"
        if not checkpoint.exists(path):
            return False
        checkpoint.load_model(path, self.task)
        saved = checkpoint.load_state(path, self._spread_like)
        for name, optimizer in self.optimizers.items():
            checkpoint.load_optimizer_state(optimizer, saved["optimizers"][name])
        for callback, own in zip(self.callbacks, saved["callbacks"]):
            callback.load_state_dict(own)
        self.scaler.load_state_dict(saved["scaler"])
        self.state.epoch, self.state.step = saved["schedule_began"]
        self._begin_schedule()
        if saved["schedule"] is not None:
            self.schedule.load_state_dict(saved["schedule"])  # type: ignore[attr-defined]
        for field in _OF_STATE:
            setattr(self.state, field, saved[field])
        for field in _OF_TRAINER:
            setattr(self, field, saved[field])
        if self.state.epoch in self.settings.restarts and self.schedule_began[0] != self.state.epoch:
            self.state.stop_reason = None
            for callback in self.callbacks:
                callback.on_restart(self.state)
        self.averages.reset(self.state.epoch + 1)
        others = {name: [0.0, 0.0] for name in saved["averages"]}  # the first process has the sums of all
        self.averages.load_state_dict(saved["averages"] if self.strategy.main else others)
        self.loader.load_state_dict({"epoch": self.state.epoch, "batch": self.batch})
        self.log.truncate(None if self.finished else saved["records"], events=("epoch", "validation", "stop"))
        rng.set_state(saved["rng"])
        self.saved = self.state.step
        return True

    def _spread_like(self, path: str) -> Tensor | None:
        """The parameter that a tensor of the checkpoint belongs to: ``optimizers/main/3/exp_avg``."""
        steps = path.split("/")
        if steps[0] != "optimizers" or len(steps) != 4:
            return None
        return _parameters(self.optimizers[steps[1]])[int(steps[2])]

    def _save(self, name: str) -> None:
        saved: dict[str, Any] = {
            **{field: getattr(self.state, field) for field in _OF_STATE},
            **{field: getattr(self, field) for field in _OF_TRAINER},
            "schedule": self.schedule.state_dict() if hasattr(self.schedule, "state_dict") else None,
            "schedule_began": self.schedule_began,
            "records": len(self.log),
            "averages": self.averages.state_dict(self.strategy.sum),
            "scaler": self.scaler.state_dict(),
            "callbacks": [callback.state_dict() for callback in self.callbacks],
            "optimizers": {key: checkpoint.optimizer_state(o) for key, o in self.optimizers.items()},
            "rng": rng.get_state(),
        }
        checkpoint.save(self.folder / "checkpoints" / name, self.task, saved, self.strategy)
        if name == "last":
            self.saved = self.state.step

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


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


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

"""The training loop: accumulation, phases, determinism, interruption and its errors."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamplighter.core.errors import InterruptedRunError, TrainingError
from lamplighter.data.augment.shift import RandomShift
from lamplighter.data.loader import Loader
from lamplighter.data.rows import TensorRows
from lamplighter.data.source import Batch
from lamplighter.losses.cross_entropy import cross_entropy
from lamplighter.models.cnn import CNN
from lamplighter.models.mlp import MLP
from lamplighter.tasks.base import Loss, Task
from lamplighter.train.precision import Precision
from lamplighter.train.progress import NoProgress
from lamplighter.train.signals import StopRequest
from lamplighter.train.trainer import Trainer

Make = Callable[..., Any]
SGD = {"optimizer": {"name": "sgd", "lr": 0.1, "weight_decay": 0.0}, "schedule": {"name": "constant"}}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def diary(folder: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what depends on the clock."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key not in ("seconds", "time")} for record in records]


# The loop does what a loop written by hand does.


def test_equals_a_loop_written_by_hand(make_task: Make, make_trainer: Make, rows: Make) -> None:
    trainer = make_trainer(task=make_task().double(), train=rows(100), settings=SGD)
    trainer.fit()
    task = make_task().double()
    optimizer = torch.optim.SGD(task.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    loader = Loader(rows(100), 32, seed=0)
    losses = []
    for _ in range(2):
        for batch in loader:
            optimizer.zero_grad()
            loss = cross_entropy(task.model(batch["x"].double()), batch["y"])
            loss.backward()
            optimizer.step()
            losses.append((loss.item(), len(batch["y"])))
    for name, tensor in task.state_dict().items():
        torch.testing.assert_close(trainer.task.state_dict()[name], tensor, rtol=1e-12, atol=1e-13)
    second = losses[4:]
    mean = sum(loss * n for loss, n in second) / sum(n for _, n in second)
    assert abs(diary(trainer.folder)[1]["train/loss"] - mean) < 1e-6


@pytest.mark.parametrize("n", [128, 500, 512, 560, 1000])
def test_accumulation_equals_the_large_batch(
    n: int, make_task: Make, make_trainer: Make, rows: Make, weights: Make, tmp_path: Path
) -> None:
    """Ragged last groups and ragged last micro-batches included; every row weighs the same."""
    found = []
    for accumulate, batch_size in ((1, 128), (4, 32)):
        folder = tmp_path / str(accumulate)
        folder.mkdir()
        task = make_task().double()
        trainer = make_trainer(
            task=task,
            train=rows(n),
            settings={**SGD, "accumulate": accumulate, "epochs": 3},
            batch_size=batch_size,
            folder=folder,
        )
        trainer.fit()
        assert trainer.state.step == 3 * math.ceil(n / 128)
        found.append((weights(trainer), diary(folder)))
    (large, diary_large), (small, diary_small) = found
    for name in large:
        assert (large[name] - small[name]).abs().max() <= 1e-12
    for one, other in zip(diary_large, diary_small):
        assert one["val/loss"] == pytest.approx(other["val/loss"], rel=1e-9)
        assert one["train/loss"] == pytest.approx(other["train/loss"], rel=1e-6)


def test_accumulation_weighs_by_labelled_rows(
    make_task: Make, make_trainer: Make, rows: Make, weights: Make, tmp_path: Path
) -> None:
    """A mean of micro-batch means would be wrong where blanks are unequally spread."""
    train = rows(256)
    train.tensors["y"][:90] = -1
    found = []
    for accumulate, batch_size in ((1, 128), (4, 32)):
        folder = tmp_path / str(accumulate)
        folder.mkdir()
        trainer = make_trainer(
            task=make_task().double(),
            train=train,
            settings={**SGD, "accumulate": accumulate},
            batch_size=batch_size,
            folder=folder,
        )
        trainer.fit()
        found.append(weights(trainer))
    for name in found[0]:
        assert (found[0][name] - found[1][name]).abs().max() <= 1e-12


class TwoPlayers(Task):
    """A task with two optimizers whose second loss depends on the step of the first."""

    monitor = ("loss", "min")
    optimizers = ("left", "right")

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.left, self.right = nn.Linear(6, 1).double(), nn.Linear(6, 1).double()
        self.seen: list[float] = []

    def step(self, batch: Batch) -> Iterator[Loss]:
        x = batch["x"].double()
        gap = self.left(x) - self.right(x).detach() - 1
        yield Loss(gap.square().mean(), len(x), "left", {"gap": gap.detach().abs().mean()})
        both = self.right(x) * self.left(x)  # the gradient reaches the left network too; nobody may step on it
        yield Loss((both - 2).square().mean(), len(x), "right")

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        return {"value": self.left(batch["x"].double())}

    def metrics(self, outputs: Any) -> dict[str, float]:
        return {"loss": float((outputs["value"] ** 2).mean())}

    def parameters_of(self, optimizer: str) -> Iterator[tuple[str, nn.Parameter]]:
        yield from getattr(self, optimizer).named_parameters()


@pytest.mark.parametrize("accumulate", [1, 4])
def test_two_optimizers_step_in_turn(accumulate: int, make_trainer: Make, rows: Make) -> None:
    train = rows(128)
    trainer = make_trainer(
        task=TwoPlayers(),
        train=train,
        settings={**SGD, "accumulate": accumulate, "epochs": 5},
        batch_size=64 // accumulate,
    )
    trainer.fit()
    task = TwoPlayers()
    optimizers = {
        name: torch.optim.SGD(getattr(task, name).parameters(), lr=0.1, momentum=0.9, nesterov=True)
        for name in task.optimizers
    }
    loader = Loader(train, 64, seed=0)
    for _ in range(5):
        for batch in loader:
            for loss in task.step(batch):
                optimizers[loss.optimizer].zero_grad()
                loss.value.backward()
                optimizers[loss.optimizer].step()
                task.zero_grad()
    for name, tensor in task.state_dict().items():
        torch.testing.assert_close(trainer.task.state_dict()[name], tensor, rtol=1e-11, atol=1e-12)
    last = diary(trainer.folder)[-1]
    assert {"train/left_loss", "train/right_loss", "train/gap"} <= set(last)
    assert trainer.state.step == 10


def test_a_task_without_losses_or_with_uneven_ones_is_an_error(make_task: Make, make_trainer: Make) -> None:
    task = make_task()
    task.step = lambda batch: iter(())
    with pytest.raises(TrainingError, match="at least one loss"):
        make_trainer(task=task).fit()
    uneven = make_task()
    plain = type(uneven).step
    uneven.step = lambda batch: iter([]) if batch["x"][0, 0] > 0 else plain(uneven, batch)
    with pytest.raises(TrainingError, match="equally many"):
        make_trainer(task=uneven, settings={"accumulate": 4}).fit()


@pytest.mark.parametrize("name", ["fp32", "fp16"])
def test_two_losses_of_one_optimizer_are_two_steps(name: Any, make_task: Make, make_trainer: Make, rows: Make) -> None:
    task = make_task()
    plain = type(task).step

    def twice(batch: Batch) -> Iterator[Loss]:
        yield from plain(task, batch)
        yield from plain(task, batch)

    task.step = twice
    trainer = make_trainer(
        task=task, settings={"epochs": 1, "optimizer": {"name": "adamw"}}, precision=Precision(name, False)
    )
    trainer.fit()
    (steps,) = {float(state["step"]) for state in trainer.optimizers["main"].state.values()}
    assert (trainer.state.step, steps) == (7, 14)


def test_an_unknown_optimizer_is_named(make_task: Make, make_trainer: Make) -> None:
    task = make_task()
    plain = type(task).step

    def misspelt(batch: Batch) -> Iterator[Loss]:
        for loss in plain(task, batch):
            loss.optimizer = "mian"
            yield loss

    task.step = misspelt
    with pytest.raises(TrainingError, match="names the optimizer 'mian'; the task has main"):
        make_trainer(task=task).fit()


def test_the_learning_rate_follows_the_schedule(make_trainer: Make) -> None:
    trainer = make_trainer(settings={"optimizer": {"name": "sgd", "lr": 0.2}, "schedule": {"name": "one-cycle"}})
    rates: list[float] = []
    step = trainer.scaler.step
    trainer.scaler.step = lambda o: (rates.extend(g["lr"] for g in o.param_groups[:1]), step(o))[1]
    trainer.fit()
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.2, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=14)
    expected = []
    for i in range(14):
        expected.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if i < 13:
            schedule.step()
    assert rates == pytest.approx(expected, abs=1e-12)
    assert diary(trainer.folder)[-1]["lr"] == rates[-1]


def test_a_last_batch_of_one_row_is_left_out_where_the_network_normalises(
    make_task: Make, make_trainer: Make, rows: Make
) -> None:
    with_norm = make_task(model=MLP(6, 3, hidden=(8,), norm="batch"))
    trainer = make_trainer(task=with_norm, train=rows(65))
    trainer.fit()
    assert trainer.state.step == 4
    assert len(make_trainer(train=rows(65)).loader) == 3


# Two trainings from one seed are equal; an interrupted one cannot be told from one that was not.

CASES = {
    "fp32": (Precision("fp32", False), {"name": "adamw", "lr": 0.01}),
    "fp32 channels_last sgd": (Precision("fp32", True), {"name": "sgd", "lr": 0.05}),
    "bf16 channels_last": (Precision("bf16", True), {"name": "adamw", "lr": 0.01}),
    "bf16 channels_last sgd": (Precision("bf16", True), {"name": "sgd", "lr": 0.05}),
}


def image_trainer(case: str, folder: Path, make_task: Make, make_trainer: Make, rows: Make, **options: Any) -> Trainer:
    """Dropout, augmentation, batch norm, accumulation, early stopping: everything that has a state."""
    precision, optimizer = CASES[case]
    folder.mkdir(exist_ok=True)
    shape = (2, 8, 8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CNN(2, 3, width=4, dropout=0.3)
    trainer: Trainer = make_trainer(
        task=make_task(shape, model=model, label_smoothing=0.1),
        train=rows(140, shape),
        val=rows(40, shape, 1),
        settings={
            "epochs": 3,
            "optimizer": optimizer,
            "accumulate": 2,
            "callbacks": [{"name": "early-stopping", "patience": 9}],
        },
        batch_size=16,
        precision=precision,
        folder=folder,
        augment=[RandomShift(pixels=1)],
        **options,
    )
    return trainer


@pytest.mark.parametrize("case", CASES)
def test_two_trainings_are_equal(
    case: str, make_task: Make, make_trainer: Make, rows: Make, weights: Make, tmp_path: Path
) -> None:
    found = []
    for name in ("one", "two"):
        trainer = image_trainer(case, tmp_path / name, make_task, make_trainer, rows)
        trainer.fit()
        found.append((weights(trainer), diary(trainer.folder)))
    assert same(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


class StopAfter(NoProgress):
    """Asks to stop after so many steps, as a signal would."""

    def __init__(self, stop: StopRequest, steps: int) -> None:
        super().__init__()
        self.request, self.left = stop, steps

    def advance(self, batches: int, rows: int) -> None:
        self.left -= 1
        if self.left == 0:
            self.request.signum = signal.SIGTERM


@pytest.mark.parametrize("steps", [1, 3, 5, 7, 10, 14])
@pytest.mark.parametrize("case", CASES)
def test_an_interrupted_training_goes_on_bit_for_bit(
    case: str, steps: int, make_task: Make, make_trainer: Make, rows: Make, weights: Make, tmp_path: Path
) -> None:
    """5 steps an epoch: stops in the middle, after the last step of an epoch, and right after its start."""
    whole = image_trainer(case, tmp_path / "whole", make_task, make_trainer, rows)
    whole.fit()

    stop = StopRequest()
    first = image_trainer(
        case, tmp_path / "cut", make_task, make_trainer, rows, stop=stop, progress=StopAfter(stop, steps)
    )
    with pytest.raises(InterruptedRunError, match="--resume") as caught:
        first.fit()
    assert caught.value.exit_code == 128 + signal.SIGTERM
    assert first.state.step == steps
    torch.manual_seed(999)
    second = image_trainer(case, tmp_path / "cut", make_task, make_trainer, rows)
    assert second.resume()
    assert second.state.step == steps
    second.fit()

    assert same(weights(second), weights(whole))
    assert diary(second.folder) == diary(whole.folder)
    for name, optimizer in whole.optimizers.items():
        ours, theirs = second.optimizers[name].state_dict()["state"], optimizer.state_dict()["state"]
        for index, entries in theirs.items():
            for key, value in entries.items():
                assert torch.equal(ours[index][key], value), key
                assert ours[index][key].stride() == value.stride(), key


def test_what_was_done_after_the_checkpoint_is_done_again(
    make_task: Make, make_trainer: Make, rows: Make, weights: Make, tmp_path: Path
) -> None:
    """A kill: the diary is one epoch and a torn line ahead of the last checkpoint."""
    whole = image_trainer("fp32", tmp_path / "whole", make_task, make_trainer, rows)
    whole.fit()
    killed = image_trainer("fp32", tmp_path / "killed", make_task, make_trainer, rows)
    save, saves = killed._save, []

    def die(name: str) -> None:
        saves.append(name)
        if saves.count("last") == 2:
            raise KeyboardInterrupt
        save(name)

    killed._save = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        killed.fit()
    with (killed.folder / "metrics.jsonl").open("a") as file:
        file.write('{"event": "epo')
    resumed = image_trainer("fp32", tmp_path / "killed", make_task, make_trainer, rows)
    assert resumed.resume()
    assert resumed.state.epoch == 1
    assert len(diary(resumed.folder)) == 1
    resumed.fit()
    assert same(weights(resumed), weights(whole))
    assert diary(resumed.folder) == diary(whole.folder)


def test_without_a_checkpoint_there_is_nothing_to_resume(make_trainer: Make) -> None:
    assert make_trainer().resume() is False


def test_a_stop_during_validation_loses_nothing(
    make_task: Make, make_trainer: Make, rows: Make, weights: Make, tmp_path: Path
) -> None:
    whole = image_trainer("fp32", tmp_path / "whole", make_task, make_trainer, rows)
    whole.fit()
    stop = StopRequest()
    first = image_trainer("fp32", tmp_path / "cut", make_task, make_trainer, rows, stop=stop)
    evaluate = first.task.evaluate

    def signalled(batch: Batch) -> dict[str, Tensor]:
        stop.signum = signal.SIGINT
        return evaluate(batch)

    first.task.evaluate = signalled  # type: ignore[method-assign]
    with pytest.raises(InterruptedRunError):
        first.fit()
    assert diary_or_nothing(first.folder) == []
    second = image_trainer("fp32", tmp_path / "cut", make_task, make_trainer, rows)
    second.resume()
    second.fit()
    assert same(weights(second), weights(whole))
    assert diary(second.folder) == diary(whole.folder)


def diary_or_nothing(folder: Path) -> list[dict[str, Any]]:
    return diary(folder) if (folder / "metrics.jsonl").exists() else []


# What is kept.


def test_best_is_the_best_epoch_and_not_the_last(make_trainer: Make, make_task: Make) -> None:
    task = make_task()
    values = iter([0.5, 0.9, 0.7, 0.9])
    task.metrics = lambda outputs: {"loss": 1.0, "accuracy": next(values)}
    trainer = make_trainer(task=task, settings={"epochs": 4})
    trainer.fit()
    assert trainer.state.best_epoch == 2, "the first of equals"
    state = json.loads((trainer.folder / "checkpoints" / "best" / "state.json").read_text())
    assert (state["best_epoch"], state["best"]) == (2, 0.9)


@pytest.mark.parametrize(("mode", "best"), [("min", 3), ("max", 1)])
def test_the_recipe_decides_what_is_best(mode: str, best: int, make_trainer: Make, make_task: Make) -> None:
    task = make_task()
    values = iter([3.0, math.nan, 1.0])
    task.metrics = lambda outputs: {"loss": 1.0, "speed": next(values)}
    trainer = make_trainer(task=task, settings={"epochs": 3, "monitor": {"metric": "speed", "mode": mode}})
    trainer.fit()
    assert trainer.state.best_epoch == best


def test_a_metric_that_does_not_exist_is_named(make_trainer: Make) -> None:
    trainer = make_trainer(settings={"monitor": {"metric": "acuracy", "mode": "max"}})
    with pytest.raises(TrainingError, match="no 'acuracy'; it has loss, accuracy"):
        trainer.fit()


def test_a_metric_that_never_is_a_number_is_an_error(make_trainer: Make, make_task: Make) -> None:
    task = make_task()
    task.metrics = lambda outputs: {"loss": 1.0, "accuracy": math.nan}
    with pytest.raises(TrainingError, match="never a finite number"):
        make_trainer(task=task).fit()


def test_early_stopping_ends_the_run_and_is_resumed_in_the_middle_of_its_patience(
    make_trainer: Make, make_task: Make, tmp_path: Path
) -> None:
    values = [0.1, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]

    def scripted(epoch_offset: int) -> Task:
        task: Task = make_task()
        left = iter(values[epoch_offset:])
        task.metrics = lambda outputs: {"loss": 1.0, "accuracy": next(left)}  # type: ignore[method-assign]
        return task

    settings = {"epochs": 8, "callbacks": [{"name": "early-stopping", "patience": 3}]}
    whole = make_trainer(task=scripted(0), settings=settings)
    whole.fit()
    assert whole.state.epoch == 5
    assert diary(tmp_path)[-1]["event"] == "stop"
    assert "0.5 for 3 validations" in diary(tmp_path)[-1]["reason"]

    folder = tmp_path / "cut"
    folder.mkdir()
    stop = StopRequest()
    first = make_trainer(task=scripted(0), settings=settings, folder=folder, stop=stop, progress=StopAfter(stop, 24))
    with pytest.raises(InterruptedRunError):
        first.fit()
    assert first.state.epoch == 3
    second = make_trainer(task=scripted(3), settings=settings, folder=folder)
    second.resume()
    second.fit()
    assert second.state.epoch == 5
    assert diary(folder) == diary(tmp_path)


# What goes wrong is said.


def test_a_loss_that_is_not_finite_names_epoch_and_step(make_trainer: Make, rows: Make) -> None:
    train = rows(200)
    train.tensors["x"][150] = math.inf
    with pytest.raises(TrainingError, match=r"step \d: the loss is nan \(the batch: 'x' has infinity\); lower the"):
        make_trainer(train=train).fit()


def test_no_checkpoint_holds_weights_that_are_not_finite(make_trainer: Make, rows: Make, tmp_path: Path) -> None:
    train = rows(200)
    train.tensors["x"][150] = math.nan
    with pytest.raises(TrainingError):
        make_trainer(train=train).fit()
    assert not (tmp_path / "checkpoints").exists()


def test_out_of_memory_names_the_batch_size_to_try(make_trainer: Make, make_task: Make) -> None:
    class Hungry(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.empty(2**50).sum() * x[:, :3]

    with pytest.raises(TrainingError, match=r"out of memory with data.batch_size 32; try --set data.batch_size=16"):
        make_trainer(task=make_task(model=nn.Sequential(nn.Linear(6, 3), Hungry()))).fit()


def test_other_errors_of_the_network_are_not_disguised(make_trainer: Make, make_task: Make) -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        make_trainer(task=make_task(model=nn.Linear(5, 3))).fit()


def test_fp16_scales_its_losses(make_trainer: Make, weights: Make) -> None:
    trainer = make_trainer(precision=Precision("fp16", False))
    trainer.fit()
    assert trainer.scaler.is_enabled()
    assert all(torch.isfinite(tensor).all() for tensor in weights(trainer).values())
    assert diary(trainer.folder)[-1]["val/accuracy"] > diary(trainer.folder)[0]["val/accuracy"] - 0.2


def test_rows_are_not_changed(make_trainer: Make, rows: Make) -> None:
    train: TensorRows = rows(64)
    before = {name: tensor.clone() for name, tensor in train.tensors.items()}
    make_trainer(train=train).fit()
    assert all(torch.equal(train.tensors[name], before[name]) for name in before)


def test_augmentation_draws_anew_for_each_batch_and_epoch(make_trainer: Make) -> None:
    drawn: list[float] = []

    def augment(batch: Batch, generator: torch.Generator) -> Batch:
        drawn.append(torch.rand((), generator=generator).item())
        return batch

    make_trainer(augment=[augment]).fit()
    first = list(drawn)
    assert len(first) == len(set(first)) == 14
    make_trainer(augment=[augment], settings={"accumulate": 3}).fit()
    assert drawn[14:] == first, "what is drawn depends on seed, epoch and batch alone"

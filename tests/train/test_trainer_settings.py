"""What a recipe's ``train`` section can ask of the loop: limits, cadence, clipping, skipping, restarts, SAM."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamplighter.core.errors import InterruptedRunError, TrainingError
from lamplighter.data.source import Batch
from lamplighter.tasks.base import Loss
from lamplighter.train.callbacks.base import Callback, State
from lamplighter.train.precision import Precision
from lamplighter.train.progress import NoProgress
from lamplighter.train.signals import StopRequest
from lamplighter.train.trainer import Trainer

Make = Callable[..., Any]
PLAIN = {
    "optimizer": {"name": "sgd", "lr": 0.1, "weight_decay": 0.0, "momentum": 0.0},
    "schedule": {"name": "constant"},
    "monitor": {"metric": "loss", "mode": "min"},
}


def diary(folder: Path, event: str) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if record["event"] == event]


class StopAfter(NoProgress):
    """Asks to stop after so many steps, as a signal would."""

    def __init__(self, stop: StopRequest, steps: int) -> None:
        super().__init__()
        self.request, self.left = stop, steps

    def advance(self, batches: int, rows: int) -> None:
        self.left -= 1
        if self.left == 0:
            self.request.signum = 15


# How long, and how often to look. 200 rows in batches of 32 are seven steps an epoch.


def test_max_steps_ends_in_the_middle_of_an_epoch_and_the_schedule_ends_with_it(make_trainer: Make) -> None:
    settings = {"epochs": 5, "max_steps": 10, "schedule": {"name": "one-cycle"}, "optimizer": {"name": "adamw"}}
    trainer = make_trainer(settings=settings)
    trainer.fit()
    assert (trainer.state.step, trainer.state.epoch, trainer.state.total_steps) == (10, 2, 10)
    assert "10 steps" in diary(trainer.folder, "stop")[0]["reason"]
    assert diary(trainer.folder, "epoch")[-1].keys() >= {"val/loss", "train/loss"}
    assert trainer.schedule(9) < 1e-5 < trainer.schedule(8)


def test_max_time_ends_at_the_next_step_and_counts_what_was_before_an_interruption(make_trainer: Make) -> None:
    stop = StopRequest()
    first = make_trainer(settings={"epochs": 50, "max_time": 3600}, stop=stop, progress=StopAfter(stop, 9))
    with pytest.raises(InterruptedRunError):
        first.fit()
    second = make_trainer(settings={"epochs": 50, "max_time": 3600})
    second.resume()
    second.elapsed = 3600.0
    second.fit()
    assert second.state.step == 9, "time was over before the resumed training began"
    assert "3600 seconds" in diary(second.folder, "stop")[0]["reason"]


def test_validation_every_second_epoch_and_always_at_the_end(make_trainer: Make) -> None:
    trainer = make_trainer(settings={"epochs": 5, "validate_every": 2})
    trainer.fit()
    judged = ["val/loss" in record for record in diary(trainer.folder, "epoch")]
    assert judged == [False, True, False, True, True]
    assert all("train/loss" in record and "lr" in record for record in diary(trainer.folder, "epoch"))


class Looks(Callback):
    """Notes at which steps it was told of a validation."""

    def __init__(self) -> None:
        self.at: list[int] = []

    def on_validation_end(self, state: State) -> None:
        self.at.append(state.step)


@pytest.mark.parametrize("cut", [2, 3, 6, 7, 8])
def test_validation_within_an_epoch_also_when_interrupted_there(cut: int, make_trainer: Make, tmp_path: Path) -> None:
    settings = {"epochs": 2, "validate_steps": 3}
    looks = Looks()
    whole = make_trainer(settings=settings, callbacks=[looks], folder=_folder(tmp_path / "whole"))
    whole.fit()
    assert looks.at == [3, 6, 7, 9, 12, 14]
    assert [record["step"] for record in diary(whole.folder, "validation")] == [3, 6, 9, 12]

    stop, cut_looks = StopRequest(), Looks()
    folder = _folder(tmp_path / "cut")
    first = make_trainer(
        settings=settings, callbacks=[cut_looks], folder=folder, stop=stop, progress=StopAfter(stop, cut)
    )
    with pytest.raises(InterruptedRunError):
        first.fit()
    second = make_trainer(settings=settings, callbacks=[cut_looks], folder=folder)
    second.resume()
    second.fit()
    assert cut_looks.at == looks.at
    for event in ("validation", "epoch"):
        assert _untimed(diary(folder, event)) == _untimed(diary(whole.folder, event))


def test_the_best_weights_may_be_those_of_the_middle_of_an_epoch(make_trainer: Make, make_task: Make) -> None:
    task = make_task()
    values = iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0])
    task.metrics = lambda outputs: {"loss": next(values), "accuracy": 0.5}
    trainer = make_trainer(
        task=task, settings={"epochs": 2, "validate_steps": 3, "monitor": {"metric": "loss", "mode": "min"}}
    )
    trainer.fit()
    assert (trainer.state.best, trainer.state.best_step, trainer.state.best_epoch) == (1.0, 6, 1)


def test_checkpoints_within_an_epoch_are_gone_on_from_bit_for_bit(
    make_trainer: Make, weights: Make, tmp_path: Path
) -> None:
    settings = {"epochs": 2, "checkpoint_steps": 2, "optimizer": {"name": "adamw"}}
    whole = make_trainer(settings=settings, folder=_folder(tmp_path / "whole"))
    whole.fit()

    class Dies(Exception):
        pass

    class Death(Callback):
        def on_step_end(self, state: State) -> None:
            if state.step == 5:
                raise Dies

    folder = _folder(tmp_path / "cut")
    with pytest.raises(Dies):
        make_trainer(settings=settings, folder=folder, callbacks=[Death()]).fit()
    second = make_trainer(settings=settings, folder=folder)
    assert second.resume()
    assert second.state.step == 4
    second.fit()
    assert _same(weights(second), weights(whole))


# Gradients.


def test_clipping_by_norm_comes_after_accumulation_and_its_norm_is_logged(make_trainer: Make, rows: Make) -> None:
    found = []
    for accumulate, batch_size in ((1, 128), (4, 32)):
        settings = {**PLAIN, "accumulate": accumulate, "clip": {"name": "norm", "max_norm": 0.05}, "epochs": 1}
        trainer = make_trainer(train=rows(256), settings=settings, batch_size=batch_size)
        norms: list[float] = []
        step = trainer.scaler.step
        trainer.scaler.step = lambda o, norms=norms, step=step: (norms.append(_norm(o)), step(o))[1]
        trainer.fit()
        assert max(norms) <= 0.05 * (1 + 1e-5)
        found.append({name: tensor.clone() for name, tensor in trainer.task.state_dict().items()})
        assert diary(trainer.folder, "epoch")[-1]["train/grad_norm"] > 0.05, "the norm before clipping"
    for name in found[0]:
        torch.testing.assert_close(found[0][name], found[1][name], rtol=1e-5, atol=1e-7)


def test_with_fp16_gradients_are_unscaled_before_they_are_clipped(make_trainer: Make, rows: Make) -> None:
    settings = {**PLAIN, "clip": {"name": "norm", "max_norm": 0.05}, "epochs": 1}
    trainer = make_trainer(train=rows(64), settings=settings, precision=Precision("fp16", False))
    trainer.fit()
    norm = diary(trainer.folder, "epoch")[-1]["train/grad_norm"]
    assert 0.05 < norm < 50, f"{norm}: gradients times the scale of 65536 would be in the thousands"


def _poisoned(task: Any, steps: set[int], number: float) -> Any:
    """``task`` whose gradient (not its loss) is not finite at some steps."""
    plain = type(task).step
    counter = iter(range(10**6))

    def step(batch: Batch) -> Iterator[Loss]:
        bad = next(counter) in steps
        for loss in plain(task, batch):
            if bad:
                weight = next(task.parameters())
                loss.value = loss.value + (weight.sum() - weight.sum().detach()) * number
            yield loss

    task.step = step
    return task


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_steps_that_are_not_finite_are_skipped_counted_and_leave_no_trace(
    number: float, make_trainer: Make, make_task: Make
) -> None:
    trainer = make_trainer(task=_poisoned(make_task(), {2, 3, 9}, number), settings={"epochs": 2, "non_finite": "skip"})
    trainer.fit()
    assert [record["train/skipped_steps"] for record in diary(trainer.folder, "epoch")] == [2.0, 1.0]
    assert trainer.state.step == 14
    assert all(torch.isfinite(tensor).all() for tensor in trainer.task.state_dict().values())
    (steps,) = {float(state["step"]) for state in trainer.optimizers["main"].state.values()}
    assert steps == 11


def test_skipping_gives_up_after_a_hundred_steps_in_a_row(make_trainer: Make, make_task: Make) -> None:
    task = _poisoned(make_task(), set(range(1000)), math.nan)
    with pytest.raises(TrainingError, match="the 100 steps before were skipped for the same reason"):
        make_trainer(task=task, settings={"epochs": 20, "non_finite": "skip"}).fit()


def test_a_gradient_that_is_not_finite_raises_before_the_step_and_names_the_layer(
    make_trainer: Make, make_task: Make
) -> None:
    class Sour(nn.Module):
        """Its output is finite, its gradient is not: the slope of a square root at 0."""

        def forward(self, x: Tensor) -> Tensor:
            return x + (x * 0).sqrt()

    model = nn.Sequential(nn.Linear(6, 3), Sour())
    trainer = make_trainer(task=make_task(model=model), settings={"clip": {"name": "norm"}})
    with pytest.raises(
        TrainingError,
        match=r"epoch 1, step 1: the norm of the gradient is nan \(the gradient at the output of .model\.0",
    ):
        trainer.fit()
    assert all(torch.isfinite(p).all() for p in trainer.task.parameters()), "the weights are those of before"


# More.


def test_a_restart_begins_the_schedule_anew(make_trainer: Make) -> None:
    trainer = make_trainer(settings={"epochs": 5, "restarts": [3], "schedule": {"name": "one-cycle"}})
    rates: list[float] = []

    class Rates(Callback):
        def on_step_end(self, state: State) -> None:
            rates.append(state.optimizers["main"].param_groups[0]["lr"])

    trainer.callbacks.append(Rates())
    trainer.step_callbacks = [trainer.callbacks[-1]]
    trainer.fit()
    assert len(rates) == 35
    assert rates[20] < 1e-6 < rates[21] < rates[22], "ended low after three epochs, then rose again"
    assert rates[34] < 1e-6


def test_five_more_epochs_go_on_from_the_last_weights(make_trainer: Make, weights: Make) -> None:
    first = make_trainer(settings={**PLAIN, "epochs": 2})
    first.fit()
    second = make_trainer(settings={**PLAIN, "epochs": 7, "restarts": [2]})
    second.resume()
    assert _same(weights(second), weights(first))
    second.fit()
    whole = make_trainer(settings={**PLAIN, "epochs": 7})
    whole.fit()
    assert _same(weights(second), weights(whole)), "at a constant rate nothing tells them apart"


def test_sam_is_two_phases_and_accumulates_like_a_large_batch(
    make_trainer: Make, make_task: Make, rows: Make, tmp_path: Path
) -> None:
    found = []
    for accumulate, batch_size in ((1, 128), (4, 32)):
        settings = {**PLAIN, "accumulate": accumulate, "sam": {"rho": 0.1}, "clip": {"name": "norm"}}
        folder = _folder(tmp_path / str(accumulate))
        trainer = make_trainer(
            task=make_task().double(), train=rows(256), settings=settings, batch_size=batch_size, folder=folder
        )
        trainer.fit()
        assert trainer.state.step == 4
        assert {"train/loss", "train/grad_norm"} <= diary(folder, "epoch")[0].keys()
        assert "train/ascent_loss" not in diary(folder, "epoch")[0]
        found.append({name: tensor.clone() for name, tensor in trainer.task.state_dict().items()})
    plain = make_trainer(task=make_task().double(), train=rows(256), settings=PLAIN, batch_size=128)
    plain.fit()
    for name, tensor in plain.task.state_dict().items():
        assert (found[0][name] - found[1][name]).abs().max() <= 1e-12
        assert not torch.allclose(found[0][name], tensor, rtol=1e-3)


def test_rates_of_their_own_reach_the_optimizer(make_trainer: Make) -> None:
    settings = {**PLAIN, "rates": [{"match": "model.head", "factor": 10.0}]}
    trainer = make_trainer(settings=settings)
    head = {id(p) for name, p in trainer.task.named_parameters() if "head" in name}
    trainer.fit()
    for group in trainer.optimizers["main"].param_groups:
        expected = 1.0 if id(group["params"][0]) in head else 0.1
        assert group["lr"] == pytest.approx(expected)


def test_an_optimizer_of_its_own_for_a_name_that_does_not_exist(make_trainer: Make) -> None:
    with pytest.raises(TrainingError, match="no optimizer 'critic'; it has main"):
        make_trainer(settings={"optimizers": {"critic": {"name": "sgd"}}})


@pytest.mark.slow
def test_compiled_networks_train_alike_and_keep_their_names(make_trainer: Make, weights: Make) -> None:
    plain, compiled = make_trainer(settings=PLAIN), make_trainer(settings={**PLAIN, "compile": True})
    plain.fit()
    compiled.fit()
    assert weights(plain).keys() == weights(compiled).keys()
    for name, tensor in weights(plain).items():
        torch.testing.assert_close(weights(compiled)[name], tensor, rtol=1e-4, atol=1e-5)


def test_two_callbacks_cannot_both_decide_what_is_judged(make_trainer: Make) -> None:
    with pytest.raises(TrainingError, match="both decide which weights are judged"):
        make_trainer(settings={"callbacks": [{"name": "ema"}, {"name": "swa"}]})


def test_an_index_comes_with_each_training_batch_for_tasks_that_want_it(make_trainer: Make, make_task: Make) -> None:
    task = make_task()
    task.wants_index = True
    seen: list[Tensor] = []
    plain = type(task).step

    def step(batch: Batch) -> Iterator[Loss]:
        seen.append(batch["index"])
        assert batch["x"].equal(trainer.loader.rows.tensors["x"][batch["index"]])
        return plain(task, batch)

    task.step = step
    trainer: Trainer = make_trainer(task=task, settings={"epochs": 1})
    trainer.fit()
    assert torch.cat(seen).sort().values.tolist() == list(range(200))


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _untimed(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


def _norm(optimizer: torch.optim.Optimizer) -> float:
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    return float(torch.stack([g.norm() for g in gradients]).norm())


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)

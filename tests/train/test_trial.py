"""Trial steps are the trainer's own steps, and are taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lamplighter.core import registry
from lamplighter.data.source import Batch
from lamplighter.tasks.base import Loss, Task
from lamplighter.train.callbacks.base import Callback, State
from lamplighter.train.trainer import Trainer
from lamplighter.train.trial import at_its_start, nominal_rate, trial

Make = Callable[..., Any]
SGD = {"optimizer": {"name": "sgd", "lr": 0.1, "weight_decay": 0.0}, "schedule": {"name": "constant"}}


def losses_of_training(trainer: Trainer, steps: int) -> tuple[list[float], dict[str, Tensor]]:
    """What the loop itself sees and computes in its first epochs."""
    seen: list[float] = []
    add = trainer.averages.add

    def listen(name: str, value: Tensor, weight: float | Tensor, step: int) -> None:
        if name == "loss":
            seen.append(float(value))
        add(name, value, weight, step)

    trainer.averages.add = listen  # type: ignore[method-assign]
    trainer.settings = trainer.settings.model_copy(update={"max_steps": steps})
    trainer.fit()
    return seen[:steps], trainer.task.state_dict()


OPTIONS = [{}, {"clip": {"name": "norm", "max_norm": 0.05}}, {"callbacks": [{"name": "ema"}]}]


@pytest.mark.parametrize("options", OPTIONS)
def test_steps_are_those_of_training(make_trainer: Make, make_task: Make, rows: Make, options: dict[str, Any]) -> None:
    """Ten steps over two epochs with a ragged end, at the recipe's rate, augmented: the same losses, bit for bit."""

    def augment(batch: Batch, generator: torch.Generator) -> Batch:
        return {**batch, "x": batch["x"] + torch.randn(batch["x"].shape, generator=generator)}

    def make() -> Trainer:
        settings = {**SGD, "epochs": 9, **options}
        made: Trainer = make_trainer(task=make_task(), train=rows(150), settings=settings, augment=[augment])
        return made

    with trial(make()) as step:
        tried = [step(0.1) for _ in range(10)]
    expected, _ = losses_of_training(make(), 10)
    assert tried == expected


def test_accumulated_steps_report_the_mean_over_all_their_rows(make_trainer: Make, make_task: Make, rows: Make) -> None:
    """4 x 32 with a ragged tail equals 128 at once."""
    found = []
    for accumulate, batch_size in ((1, 128), (4, 32)):
        settings = {**SGD, "accumulate": accumulate}
        trainer = make_trainer(task=make_task().double(), train=rows(300), batch_size=batch_size, settings=settings)
        with trial(trainer) as step:
            found.append([step(0.1) for _ in range(7)])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_the_rate_is_meant_as_the_recipes_and_groups_keep_their_factors(make_trainer: Make, make_task: Make) -> None:
    settings = {
        "optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.0, "weight_decay": 0.0, "nesterov": False},
        "rates": [{"match": "model.head", "factor": 0.5}],
    }
    trainer = make_trainer(task=make_task().double(), settings=settings)
    assert nominal_rate(trainer) == 0.02
    start = {name: p.detach().clone() for name, p in trainer.task.named_parameters()}
    moved = []
    for lr in (1e-3, 2e-3):
        with trial(trainer) as step:
            step(lr)
            moved.append({name: p.detach() - start[name] for name, p in trainer.task.named_parameters()})
            rates = {group["lr"] for group in trainer.optimizers["main"].param_groups}
            assert sorted(rates) == pytest.approx([lr / 2, lr])
    for name in start:
        torch.testing.assert_close(moved[1][name], 2 * moved[0][name], rtol=1e-9, atol=1e-15)


class Players(Task):
    """Two optimizers, two losses a step."""

    optimizers = ("left", "right")

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 1), nn.Linear(6, 1)
        self.values: list[float] = []

    def step(self, batch: Batch) -> Iterator[Loss]:
        for name in self.optimizers:
            value = (getattr(self, name)(batch["x"]) - 1).square().mean()
            self.values.append(float(value.detach()))
            yield Loss(value, len(batch["x"]), name, {"some_loss": value.detach() * 100})

    def parameters_of(self, optimizer: str) -> Iterator[tuple[str, nn.Parameter]]:
        yield from getattr(self, optimizer).named_parameters(optimizer)


def test_several_optimizers_move_together_and_their_losses_are_added(make_trainer: Make) -> None:
    task = Players()
    trainer = make_trainer(task=task, settings={**SGD, "optimizers": {"right": {"name": "sgd", "lr": 0.4}}})
    start = {name: p.detach().clone() for name, p in task.named_parameters()}
    with trial(trainer) as step:
        assert step(0.01) == pytest.approx(sum(task.values), rel=1e-6)
        assert trainer.optimizers["left"].param_groups[0]["lr"] == pytest.approx(0.01)
        assert trainer.optimizers["right"].param_groups[0]["lr"] == pytest.approx(0.04)
        assert all(not torch.equal(p, start[name]) for name, p in task.named_parameters())
    assert all(torch.equal(p, start[name]) for name, p in task.named_parameters())


def test_a_loss_that_is_not_finite_is_handed_over(make_trainer: Make) -> None:
    """Whatever the policy: the caller decides."""
    for policy in ("raise", "skip"):
        trainer = make_trainer(settings={**SGD, "non_finite": policy})
        with trial(trainer) as step:
            seen = [step(1e30) for _ in range(4)]
        assert not np.isfinite(seen[-1])
        assert all(torch.isfinite(p).all() for p in trainer.task.parameters())


class Freezer(Callback):
    """Freezes the head when training starts."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_train_start(self, state: State) -> None:
        self.heard.append(f"start writes={state.writes}")
        state.task.model.head.requires_grad_(False)

    def on_epoch_start(self, state: State) -> None:
        state.task.model.body.eval()

    def on_step_end(self, state: State) -> None:
        self.heard.append("step")


def test_callbacks_freeze_but_do_not_follow(make_trainer: Make) -> None:
    freezer = Freezer()
    trainer = make_trainer(settings=SGD, callbacks=[freezer])
    head = trainer.task.model.head.weight.detach().clone()
    with at_its_start(trainer), trial(trainer) as step:
        step(0.1)
        assert torch.equal(trainer.task.model.head.weight, head)
        assert not trainer.task.model.body.training
    assert freezer.heard == ["start writes=False"]
    assert trainer.task.model.head.weight.requires_grad
    assert trainer.task.model.body.training


@pytest.mark.parametrize("name", registry.names("optimizer"))
@pytest.mark.parametrize("sam", [None, {"rho": 0.05}])
def test_every_optimizer_is_put_back(
    name: str, sam: dict[str, float] | None, make_trainer: Make, make_task: Make, everything: Make
) -> None:
    """Also those that remember more than torch's own do, and with SAM around them."""
    torch.manual_seed(0)
    settings = {"optimizer": {"name": name}, "sam": sam, "accumulate": 2}
    trainer = make_trainer(task=make_task(), settings=settings)
    batches = iter(trainer.loader)
    trainer.task.train()
    trainer._step([next(batches), next(batches)])
    before = everything(trainer)
    with trial(trainer) as step:
        losses = [step(lr) for lr in (1e-4, 1e-2, 1e-1)]
        assert everything(trainer) != before
    assert everything(trainer) == before
    assert all(np.isfinite(losses))

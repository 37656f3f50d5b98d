"""SAM against a hand-written one in float64; over micro-batches; and what the second pass must not touch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from lamplighter.core.errors import TrainingError
from lamplighter.optim.optimizers.adam import adamw
from lamplighter.optim.optimizers.sgd import sgd
from lamplighter.optim.sam import Ascent, two_passes
from lamplighter.tasks.base import Loss
from lamplighter.train import checkpoint

Batch = dict[str, Tensor]
RHO = 0.1


class Net(nn.Module):
    """A task around a small network, with what a test wants to know written down."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)
        self.finished = 0
        self.fails_at: int | None = None
        self.calls = 0

    def step(self, batch: Batch) -> Iterator[Loss]:
        self.calls += 1
        if self.calls == self.fails_at:
            raise RuntimeError("out of memory")
        value = nn.functional.mse_loss(self.model(batch["x"]).squeeze(1), batch["y"])
        yield Loss(value, weight=len(batch["y"]), metrics={"seen": value.detach() * 2})
        self.finished += 1


def batches(rows: int, count: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    made = []
    for _ in range(count):
        x = torch.randn(rows, 5, dtype=torch.float64, generator=generator)
        made.append({"x": x, "y": x.prod(1).sin() + x[:, 0]})
    return made


def net(*extra: nn.Module) -> Net:
    torch.manual_seed(1)
    return Net(nn.Linear(5, 8), nn.Tanh(), *extra, nn.Linear(8, 1)).double()


def groups(task: nn.Module) -> list[dict[str, object]]:
    return [{"params": list(task.parameters())}]


class Loop:
    """The training loop of the library in few lines: generators in lockstep, one optimizer step for each phase."""

    def __init__(self, task: Net, main: torch.optim.Optimizer, rho: float = RHO) -> None:
        self.ascent = Ascent(main, rho)
        self.optimizers = {"main": main, "ascent": self.ascent}
        self.step_of = two_passes(task.step, task, self.ascent)
        self.logged: list[tuple[float, dict[str, Tensor]]] = []
        self.skip: Callable[[str], bool] = lambda name: False

    def step(self, micro_batches: list[Batch]) -> None:
        phases = [self.step_of(batch) for batch in micro_batches]
        rows = sum(len(batch["y"]) for batch in micro_batches)
        while True:
            losses = []
            for phase in phases:
                loss = next(phase, None)
                if loss is None:
                    return
                (loss.value * loss.weight / rows).backward()
                losses.append(loss)
                if loss.logged:
                    self.logged.append((loss.value.item(), loss.metrics))
            if not self.skip(losses[0].optimizer):
                self.optimizers[losses[0].optimizer].step()
            for optimizer in self.optimizers.values():
                optimizer.zero_grad(set_to_none=True)


def by_hand(task: Net, main: torch.optim.Optimizer, data: list[Batch], rho: float = RHO) -> list[float]:
    """SAM as the paper's algorithm 1 has it; the loss at w of each step."""
    losses = []
    for batch in data:
        before = [p.detach().clone() for p in task.parameters()]
        loss = nn.functional.mse_loss(task.model(batch["x"]).squeeze(1), batch["y"])
        gradient = torch.autograd.grad(loss, list(task.parameters()))
        length = math.sqrt(sum(float(g.square().sum()) for g in gradient))
        with torch.no_grad():
            for p, g in zip(task.parameters(), gradient):
                p += rho * g / length
        above = nn.functional.mse_loss(task.model(batch["x"]).squeeze(1), batch["y"])
        gradient = torch.autograd.grad(above, list(task.parameters()))
        with torch.no_grad():
            for p, w, g in zip(task.parameters(), before, gradient):
                p.copy_(w)
                p.grad = g
        main.step()
        losses.append(loss.item())
    return losses


MAKE: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda task: sgd(groups(task), lr=0.05),
    "adamw": lambda task: adamw(groups(task), lr=0.01),
}


@pytest.mark.parametrize("rho", [0.05, 0.5])
@pytest.mark.parametrize("name", MAKE)
def test_equals_a_hand_written_sam(name: str, rho: float) -> None:
    ours, theirs = net(), net()
    loop = Loop(ours, MAKE[name](ours), rho)
    data = batches(16, 50)
    for batch in data:
        loop.step([batch])
    expected = by_hand(theirs, MAKE[name](theirs), data, rho)
    for a, b in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
    assert [value for value, _ in loop.logged] == pytest.approx(expected, rel=1e-12)


def test_without_the_climb_the_weights_would_be_others() -> None:
    with_sam, without = net(), net()
    loop, plain = Loop(with_sam, MAKE["sgd"](with_sam)), MAKE["sgd"](without)
    for batch in batches(16, 50):
        loop.step([batch])
        for loss in without.step(batch):
            loss.value.backward()
            plain.step()
            plain.zero_grad()
    assert (with_sam.model[0].weight - without.model[0].weight).abs().max() > 1e-3  # type: ignore[operator]


def test_four_micro_batches_equal_the_large_batch() -> None:
    ours, theirs = net(), net()
    small, large = Loop(ours, MAKE["sgd"](ours)), Loop(theirs, MAKE["sgd"](theirs))
    for batch in batches(30, 20):
        pieces = [dict(zip(batch, piece)) for piece in zip(*(value.split(8) for value in batch.values()))]
        assert [len(piece["y"]) for piece in pieces] == [8, 8, 8, 6]
        small.step(pieces)
        large.step([batch])
    for a, b in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_logged_are_loss_and_metrics_of_the_first_pass() -> None:
    task = net()
    loop = Loop(task, MAKE["sgd"](task), rho=1.0)
    (batch,) = batches(16, 1)
    with torch.no_grad():
        at_w = nn.functional.mse_loss(task.model(batch["x"]).squeeze(1), batch["y"]).item()
    loop.step([batch])
    ((value, metrics),) = loop.logged
    assert value == at_w
    assert metrics["seen"].item() == 2 * at_w


def test_running_statistics_are_those_of_one_pass() -> None:
    norms = [nn.BatchNorm1d(8), nn.BatchNorm1d(8, momentum=None)]
    task, once = net(*norms), net(nn.BatchNorm1d(8), nn.BatchNorm1d(8, momentum=None))
    loop = Loop(task, MAKE["sgd"](task))
    data = batches(16, 3)
    originals = dict(task.named_buffers())
    for batch in data:
        once.load_state_dict(task.state_dict())
        once.model(batch["x"])
        loop.step([batch])
        for name, buffer in task.named_buffers():
            assert torch.equal(buffer, once.get_buffer(name)), name
    assert all(buffer is originals[name] for name, buffer in task.named_buffers())
    counter = task.model[2].num_batches_tracked
    assert int(counter) == 3  # type: ignore[arg-type]


class Recorder(nn.Module):
    """Dropout that writes its masks down."""

    def __init__(self) -> None:
        super().__init__()
        self.masks: list[Tensor] = []

    def forward(self, h: Tensor) -> Tensor:
        self.masks.append(torch.rand_like(h) > 0.5)
        return h * self.masks[-1]


def test_both_passes_draw_the_same_and_the_stream_goes_on_as_after_one() -> None:
    recorder = Recorder()
    task = net(recorder)
    loop = Loop(task, MAKE["sgd"](task))
    (first, second) = batches(16, 2)
    torch.manual_seed(7)
    loop.step([first, second])
    after = torch.rand(3)
    a, b, a_again, b_again = recorder.masks
    assert torch.equal(a, a_again)
    assert torch.equal(b, b_again)
    assert not torch.equal(a, b)
    torch.manual_seed(7)
    torch.rand(2, 16, 8, dtype=torch.float64)
    assert torch.equal(after, torch.rand(3))


def weights(task: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in task.parameters()]


def test_a_skipped_step_leaves_the_weights_as_they_were() -> None:
    task = net()
    loop = Loop(task, MAKE["sgd"](task))
    before = weights(task)
    for skipped in ({"main"}, {"main", "ascent"}):
        loop.skip = skipped.__contains__
        loop.step(batches(16, 1))
        assert all(torch.equal(p, w) for p, w in zip(task.parameters(), before))


def test_a_skipped_climb_leaves_a_plain_step() -> None:
    task, plain = net(), net()
    loop, optimizer = Loop(task, MAKE["sgd"](task)), MAKE["sgd"](plain)
    loop.skip = {"ascent"}.__contains__
    (batch,) = batches(16, 1)
    loop.step([batch])
    next(plain.step(batch)).value.backward()
    optimizer.step()
    assert all(torch.equal(p, w) for p, w in zip(task.parameters(), plain.parameters()))


def test_an_error_in_the_second_pass_leaves_the_weights_as_they_were() -> None:
    task = net()
    loop = Loop(task, MAKE["sgd"](task))
    before = weights(task)
    task.fails_at = 2
    with pytest.raises(RuntimeError, match="out of memory"):
        loop.step(batches(16, 1))
    assert all(torch.equal(p, w) for p, w in zip(task.parameters(), before))


def test_giving_up_between_the_passes_leaves_the_weights_as_they_were() -> None:
    task = net()
    loop = Loop(task, MAKE["sgd"](task))
    before = weights(task)
    phase = loop.step_of(batches(16, 1)[0])
    next(phase).value.backward()
    loop.ascent.step()
    assert not torch.equal(next(task.parameters()), before[0])
    phase.close()  # type: ignore[attr-defined]
    assert all(torch.equal(p, w) for p, w in zip(task.parameters(), before))


def test_what_follows_the_yield_runs_once_after_the_main_step() -> None:
    task = net()
    loop = Loop(task, MAKE["sgd"](task))
    for batch in batches(4, 3):
        loop.step([batch])
    assert (task.calls, task.finished) == (6, 3)


def test_a_task_of_several_losses_is_refused() -> None:
    class Two(Net):
        def step(self, batch: Batch) -> Iterator[Loss]:
            yield from itertools.chain(super().step(batch), super().step(batch))

    task = Two(nn.Linear(5, 1)).double()
    with pytest.raises(TrainingError, match=r"train\.sam needs a task with one loss"):
        Loop(task, MAKE["sgd"](task)).step(batches(4, 1))


def test_nothing_is_remembered() -> None:
    task = net()
    loop = Loop(task, MAKE["sgd"](task))
    loop.step(batches(4, 1))
    assert checkpoint.optimizer_state(loop.ascent) == {}
    assert loop.ascent._below == []


def test_a_gradient_of_zero_climbs_nowhere() -> None:
    w = nn.Parameter(torch.ones(3))
    ascent = Ascent(torch.optim.SGD([w], lr=0.1), rho=0.5)
    w.grad = torch.zeros(3)
    ascent.step()
    assert torch.equal(w, torch.ones(3))


def test_parameters_without_gradient_stay() -> None:
    w, untouched = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    ascent = Ascent(torch.optim.SGD([w, untouched], lr=0.1), rho=0.5)
    w.grad = torch.ones(3)
    ascent.step()
    assert (w - 1).norm().item() == pytest.approx(0.5)
    assert torch.equal(untouched, torch.ones(3))
    ascent.step()  # from below, not from where the first climb ended
    assert (w - 1).norm().item() == pytest.approx(0.5)

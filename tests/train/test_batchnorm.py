"""Re-estimated statistics of batch normalisation: torch's own `update_bn`, and everything else left alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from lamplighter.tasks.base import Task
from lamplighter.train import batchnorm


class Net(Task):
    """Answers with a network; a second one is there that answers do not need."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(2, 4, 3),
            nn.BatchNorm2d(4),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(64, 5),
            nn.BatchNorm1d(5),
        ).double()
        self.other = nn.BatchNorm1d(3).double()

    def evaluate(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"out": self.model(batch["x"])}


def batches(sizes: tuple[int, ...] = (8, 8, 5)) -> Iterator[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    for size in sizes:
        yield {"x": torch.randn(size, 2, 6, 6, generator=generator, dtype=torch.float64) * 3 + 1}


def randomised(task: Task) -> Task:
    generator = torch.Generator().manual_seed(0)
    for parameter in task.parameters():
        nn.init.normal_(parameter, generator=generator)
    for layer in batchnorm.layers(task):
        assert layer.running_mean is not None and layer.running_var is not None
        nn.init.normal_(layer.running_mean, generator=generator)
        nn.init.uniform_(layer.running_var, 0.5, 1.5, generator=generator)
        layer.num_batches_tracked = torch.tensor(7)
    return task


def test_equals_torch() -> None:
    ours, oracle = randomised(Net()), randomised(Net())
    update_bn((batch["x"] for batch in batches()), oracle.model)  # type: ignore[arg-type]
    batchnorm.reestimate(ours, batches())
    for (name, expected), found in zip(oracle.model.state_dict().items(), ours.model.state_dict().values()):  # type: ignore[union-attr]
        assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12), name
    assert int(ours.model[1].num_batches_tracked) == 3  # type: ignore[index]


def test_a_limit_looks_at_the_first_batches_only() -> None:
    ours, few = randomised(Net()), randomised(Net())
    batchnorm.reestimate(ours, batches(), limit=2)
    batchnorm.reestimate(few, batches((8, 8)))
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), few.state_dict().values()))


def test_dropout_is_off_and_no_random_number_is_drawn() -> None:
    dropping, plain = randomised(Net(dropout=0.5)), randomised(Net())
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    batchnorm.reestimate(dropping, batches())
    assert torch.equal(torch.rand(1), expected)
    batchnorm.reestimate(plain, batches())
    assert all(torch.equal(a, b) for a, b in zip(dropping.state_dict().values(), plain.state_dict().values()))


@pytest.mark.parametrize("training", [True, False])
def test_modes_momenta_weights_and_layers_out_of_reach_stay(training: bool) -> None:
    task = randomised(Net())
    task.train(training)
    task.model[1].train(not training)  # type: ignore[index]
    task.model[5].momentum = 0.3  # type: ignore[index]
    modes = [module.training for module in task.modules()]
    before = {name: tensor.clone() for name, tensor in task.state_dict().items()}
    batchnorm.reestimate(task, batches())
    assert [module.training for module in task.modules()] == modes
    assert [layer.momentum for layer in batchnorm.layers(task)] == [0.1, 0.3, 0.1]
    changed = {name for name, tensor in task.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {f"model.{i}.{b}" for i in (1, 5) for b in ("running_mean", "running_var", "num_batches_tracked")}
    assert all(tensor.grad_fn is None for tensor in task.buffers())


def test_a_network_without_batch_norm_is_not_run() -> None:
    task = Task()
    task.model = nn.LayerNorm(3)

    def never() -> Iterator[dict[str, Tensor]]:
        raise AssertionError
        yield

    batchnorm.reestimate(task, never())


def test_kept_puts_statistics_back_after_an_error() -> None:
    task = randomised(Net())
    before = {name: tensor.clone() for name, tensor in task.state_dict().items()}
    with pytest.raises(ZeroDivisionError), batchnorm.kept(task):
        batchnorm.reestimate(task, batches())
        raise ZeroDivisionError
    assert all(torch.equal(tensor, before[name]) for name, tensor in task.state_dict().items())


def test_statistics_are_named_as_in_the_module() -> None:
    task = Net()
    found = batchnorm.statistics(task)
    assert set(found) == {f"{n}.{b}" for n in ("model.1", "model.5", "other") for b in ("running_mean", "running_var")}
    assert found["model.1.running_mean"] is task.model[1].running_mean

"""The teacher: frozen, asked once for each row where rows stay what they are, and insisted upon."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lamplighter.core.errors import DataError, RunError
from lamplighter.data.rows import TensorRows
from lamplighter.tasks import teacher as teachers
from lamplighter.tasks.teacher import FinishedRun, Teacher

NORMED = {"name": "mlp", "hidden": [6], "norm": "batch", "dropout": 0.5}


class Opener:
    """Counts how often a run is opened, and how often its network is asked."""

    def __init__(self, task: Any, digest: str = "d1") -> None:
        self.task, self.digest, self.opened, self.asked = task, digest, 0, 0
        self.export, task.export = task.export, self._counted

    def __call__(self, run: str) -> FinishedRun:
        self.opened += 1
        return FinishedRun(run, self.task, self.digest, dict)

    def _counted(self) -> Any:
        spec = self.export()
        spec.module.register_forward_hook(lambda *_: setattr(self, "asked", self.asked + 1))
        return spec


@pytest.fixture
def opener(build: Callable[..., Any]) -> Opener:
    task = build("ensemble", members=[{"model": NORMED}] * 2).tasks[0]
    with torch.no_grad():
        for name, buffer in task.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 1.5)
    return Opener(task)


def rows_of(batch: dict[str, Tensor]) -> TensorRows:
    return TensorRows({"x": batch["x"], "y": batch["y"]})


def test_answers_from_memory_are_those_of_the_network(
    opener: Opener, batch: Callable[..., dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teachers, "CHUNK", 7)
    every = batch(30)
    remembered, asked = Teacher("r", opener, ["x"], rows_of(every)), Teacher("r", opener, ["x"])
    chosen = torch.tensor([29, 3, 3, 11])
    rows = {name: tensor[chosen] for name, tensor in every.items()}
    for ours, theirs in zip(remembered(rows), asked(rows), strict=True):
        torch.testing.assert_close(ours, theirs)
    before = opener.asked
    remembered(rows)
    assert opener.asked == before  # from memory
    assert opener.opened == 2
    asked(rows)
    assert opener.asked == before + 1


def test_without_positions_each_batch_is_answered(opener: Opener, batch: Callable[..., dict[str, Tensor]]) -> None:
    rows = batch(30)
    teacher = Teacher("r", opener, ["x"], rows_of(rows))
    changed = {"x": rows["x"] + 1, "y": rows["y"]}
    assert not torch.equal(teacher(changed)[0], teacher(rows)[0])


def test_nothing_of_the_teacher_moves(opener: Opener, batch: Callable[..., dict[str, Tensor]]) -> None:
    before = {name: tensor.clone() for name, tensor in opener.task.state_dict().items()}
    opener.task.train()
    teacher = Teacher("r", opener, ["x"])
    first, second = teacher(batch()), teacher(batch())
    assert torch.equal(first[0], second[0])  # no dropout
    assert not first[0].requires_grad
    network = teacher._network
    assert isinstance(network, nn.Module) and not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    alone = teacher({"x": batch()["x"][:1]})
    torch.testing.assert_close(alone[0], first[0][:1])  # no statistics of the batch
    assert all(torch.equal(before[name], tensor) for name, tensor in opener.task.state_dict().items())


def test_answers_are_float32_under_autocast(opener: Opener, batch: Callable[..., dict[str, Tensor]]) -> None:
    teacher = Teacher("r", opener, ["x"])
    plain = teacher(batch())[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(teacher(batch())[0], plain)


def test_other_weights_than_at_the_beginning_are_refused(
    opener: Opener, batch: Callable[..., dict[str, Tensor]]
) -> None:
    teacher = Teacher("runs/big/1", opener, ["x"], digest="d1")
    assert opener.opened == 0  # a trained student does without its teacher
    teacher(batch())
    with pytest.raises(RunError, match="runs/big/1: the teacher's weights are not those that this training began"):
        Teacher("runs/big/1", opener, ["x"], digest="d0")(batch())


def test_copies_of_a_student_share_the_teacher(opener: Opener) -> None:
    teacher = Teacher("r", opener, ["x"])
    assert copy.deepcopy({"teacher": teacher})["teacher"] is teacher


def test_the_width_of_the_embedding(opener: Opener, batch: Callable[..., dict[str, Tensor]]) -> None:
    assert Teacher("r", opener, ["x"]).width(rows_of(batch())) == 6
    opener.task.model = nn.Linear(4, 3)
    with pytest.raises(DataError, match="has no forward_features and head"):
        Teacher("r", opener, ["x"]).width(rows_of(batch()))


def test_chunks_are_of_one_size_whatever_the_batches(
    opener: Opener, batch: Callable[..., dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums differ in the last bit with the number of rows, so a resumed run must ask in the same portions."""
    monkeypatch.setattr(teachers, "CHUNK", 8)
    every = batch(30)
    one, other = (Teacher("r", opener, ["x"], rows_of(every)) for _ in range(2))
    one({name: tensor[:3] for name, tensor in every.items()})
    other(every)
    assert one.answers is not None and other.answers is not None
    assert np.array_equal(one.answers[0].numpy(), other.answers[0].numpy())

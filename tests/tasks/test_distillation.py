"""Distillation: the loss to the letter, every row weighing what it should, and who may teach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.core.errors import DataError
from lamplighter.data.rows import TensorRows
from lamplighter.tasks.teacher import FinishedRun

Build = Callable[..., Any]
Batch = Callable[..., dict[str, Tensor]]


class School:
    """Runs by name, and a training split whose rows 0 to ``labelled`` have a label."""

    def __init__(self, build: Build, batch: Batch, labelled: int = 30) -> None:
        self.split = batch(30)
        self.split["y"][labelled:] = -1
        self.val = batch(200, seed=1)
        self.tasks = {name: self._task(build, skill) for name, skill in (("good", 3.0), ("poor", 0.05), ("bad", -1.0))}
        self.opened: list[str] = []

    def _task(self, build: Build, skill: float) -> Any:
        """Logits are the first three numbers times the skill."""
        task = build("ensemble", members=[{"model": {"name": "mlp", "hidden": []}}] * 2).tasks[0]
        with torch.no_grad():
            task.model.head.weight.copy_(skill * torch.eye(4)[:3])
            task.model.head.bias.copy_(torch.tensor([0.3, 0.0, 0.0]) / abs(skill) ** 0.5)
        return task.eval()

    def open(self, run: str) -> FinishedRun:
        self.opened.append(run)
        task = self.tasks[run]

        def judge() -> dict[str, np.ndarray]:
            with torch.inference_mode():
                return {name: tensor.numpy() for name, tensor in task.evaluate(self.val).items()}

        return FinishedRun(run, task, f"sha-{run}", judge)

    def facts(self, **changes: Any) -> dict[str, Any]:
        rows = TensorRows({"x": self.split["x"], "y": self.split["y"]})
        counts = torch.bincount(self.split["y"].clamp(min=-1) + 1, minlength=4)[1:].tolist()
        return {"open_run": self.open, "rows": lambda name: rows, "augmented": False, "class_counts": counts, **changes}


@pytest.fixture
def school(build: Build, batch: Batch) -> School:
    return School(build, batch)


def teacher_logits(school: School, rows: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        logits: Tensor = school.tasks["good"].model(rows["x"])
    return logits


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.0])
def test_the_loss_is_the_formula(build: Build, school: School, temperature: float, alpha: float) -> None:
    task = build("distillation", facts=school.facts(), teacher="good", temperature=temperature, alpha=alpha).double()
    rows = {**school.split, "x": school.split["x"].double()}
    task.teacher.answers = (teacher_logits(school, school.split).double(),)  # the teacher itself answers in float32
    (loss,) = list(task.step(rows))
    s, t = task.model(rows["x"]), task.teacher.answers[0]
    p, q = (t / temperature).softmax(1), (s / temperature).softmax(1)
    by_hand = temperature**2 * (p * (p.log() - q.log())).sum(1).mean()
    torchs = temperature**2 * nn.KLDivLoss(reduction="batchmean")(q.log(), p)
    expected = alpha * by_hand + (1 - alpha) * F.cross_entropy(s, rows["y"])
    torch.testing.assert_close(by_hand, torchs, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(loss.value, expected, rtol=1e-12, atol=1e-12)
    assert loss.weight == 30
    ours = torch.autograd.grad(loss.value, list(task.model.parameters()), retain_graph=True)
    theirs = torch.autograd.grad(expected, list(task.model.parameters()))
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert set(loss.metrics) == {"soft", "hard"}


def test_the_squared_temperature_keeps_the_gradient(build: Build, school: School) -> None:
    """d/ds of T^2 KL is T (softmax(s / T) - softmax(t / T)) / N."""
    task = build("distillation", facts=school.facts(), teacher="good", temperature=4.0, alpha=1.0).double()
    rows = {**school.split, "x": school.split["x"].double()}
    t = teacher_logits(school, school.split).double()
    task.teacher.answers = (t,)
    captured: list[Tensor] = []
    task.model.register_forward_hook(lambda _, __, out: (out.retain_grad(), captured.append(out))[0])
    (loss,) = list(task.step(rows))
    loss.value.backward()
    s = captured[0]
    assert s.grad is not None
    torch.testing.assert_close(s.grad, 4 * ((s / 4).softmax(1) - (t / 4).softmax(1)) / 30, rtol=1e-10, atol=1e-14)


def test_alpha_0_is_plain_training(build: Build, school: School) -> None:
    task = build("distillation", facts=school.facts(), teacher="good", alpha=0.0, label_smoothing=0.1)
    plain = build("classification", label_smoothing=0.1)
    (loss,), (expected,) = list(task.step(school.split)), list(plain.step(school.split))
    torch.testing.assert_close(loss.value, expected.value)


def test_unlabelled_rows_learn_from_the_teacher_alone(build: Build, batch: Batch) -> None:
    school = School(build, batch, labelled=10)
    task = build("distillation", facts=school.facts(), teacher="good", temperature=2.0, alpha=0.6)
    assert task.labelled == pytest.approx(1 / 3)
    (loss,) = list(task.step(school.split))
    s, t = task.model(school.split["x"]), teacher_logits(school, school.split)
    soft = 4 * F.kl_div((s / 2).log_softmax(1), (t / 2).softmax(1), reduction="batchmean")
    hard = F.cross_entropy(s, school.split["y"], ignore_index=-1)
    torch.testing.assert_close(loss.value, 0.6 * soft + 0.4 * hard)
    assert loss.weight == 30
    unlabelled = {name: tensor[10:] for name, tensor in school.split.items()}
    (loss,) = list(task.step(unlabelled))
    assert torch.isfinite(loss.value) and float(loss.metrics["hard"]) == 0 and loss.weight == 20


@pytest.mark.parametrize("class_weights", [None, [1.0, 2.0, 4.0]])
def test_both_parts_stay_exact_when_batches_are_accumulated(build: Build, batch: Batch, class_weights: Any) -> None:
    """However the labelled rows fall into the micro-batches."""
    school = School(build, batch, labelled=8)
    options = {"teacher": "good", "features": 0.3, "class_weights": class_weights}
    whole, parts = (build("distillation", facts=school.facts(), **options) for _ in range(2))
    (loss,) = list(whole.step(school.split))
    loss.value.backward()
    for cut in (slice(0, 5), slice(5, 12), slice(12, 30)):  # 5, 3 and 0 labelled rows
        (piece,) = list(parts.step({name: tensor[cut] for name, tensor in school.split.items()}))
        (piece.value * piece.weight / 30).backward()
    for ours, theirs in zip(parts.parameters(), whole.parameters()):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-7)
    mean_weight = 1.0 if class_weights is None else float(np.mean(np.array([1, 2, 4])[school.split["y"][:8]]))
    assert whole.labelled == pytest.approx(8 / 30 * mean_weight)


def test_features_are_compared_through_a_layer_that_is_dropped(build: Build, school: School) -> None:
    task = build("distillation", facts=school.facts(), teacher="good", features=0.5)
    plain = build("distillation", facts=school.facts(), teacher="good")
    assert (task.projection.in_features, task.projection.out_features) == (5, 4)
    (loss,), (without,) = list(task.step(school.split)), list(plain.step(school.split))
    embedded = task.projection(task.model.forward_features(school.split["x"]))
    expected = without.value + 0.5 * F.mse_loss(embedded, school.split["x"])  # the teacher's embedding is x itself
    torch.testing.assert_close(loss.value, expected)
    loss.value.backward()
    assert task.projection.weight.grad.any() and task.model.body[0].weight.grad.any()
    names = [name for name, _ in task.export().module.named_parameters()]
    assert names == [name for name, _ in build("classification").export().module.named_parameters()]


def test_what_is_exported_is_a_plain_classification(build: Build, school: School) -> None:
    task = build("distillation", facts=school.facts(), teacher="good", features=0.5)
    spec = task.export()
    assert (spec.kind, spec.outputs) == ("classification", ("logits", "embedding"))
    with torch.inference_mode():
        torch.testing.assert_close(spec.module(school.val["x"])[0], task.eval().evaluate(school.val)["logits"])
    assert not [name for name in task.state_dict() if "teacher" in name]


def test_augmented_batches_are_answered_as_the_student_sees_them(build: Build, school: School) -> None:
    plain = build("distillation", facts=school.facts(), teacher="good", alpha=1.0)
    augmented = build("distillation", facts=school.facts(augmented=True), teacher="good", alpha=1.0)
    assert plain.wants_index and not augmented.wants_index
    changed = {**school.split, "x": school.split["x"].flip(1)}
    (loss,) = list(augmented.step(changed))
    expected = 16 * F.kl_div(
        (augmented.model(changed["x"]) / 4).log_softmax(1),
        (teacher_logits(school, changed) / 4).softmax(1),
        reduction="batchmean",
    )
    torch.testing.assert_close(loss.value, expected)
    (stale,) = list(plain.step(changed))
    assert abs(float(stale.value.detach()) - float(expected.detach())) > 1e-2


def test_a_resumed_student_is_built_without_its_teacher(build: Build, school: School) -> None:
    first = build("distillation", facts=school.facts(), teacher="good", features=0.5)
    decided = first.resolved()
    assert (decided["teacher_digest"], decided["teacher_features"]) == ("sha-good", 4)
    school.opened.clear()
    written = {"teacher_digest": "sha-good", "teacher_features": 4}
    again = build("distillation", facts=school.facts(), teacher="good", features=0.5, **written)
    assert school.opened == []
    again.load_state_dict(first.state_dict())
    torch.testing.assert_close(next(again.step(school.split)).value, next(first.step(school.split)).value)
    assert school.opened == ["good"]


def test_a_teacher_must_know_more_than_the_most_frequent_class(build: Build, school: School) -> None:
    with pytest.raises(DataError, match=r"task.teacher: bad has accuracy 0\.\d+ on the 200 rows .*, not clearly more"):
        build("distillation", facts=school.facts(), teacher="bad")


def test_a_teacher_must_beat_the_baseline(build: Build, school: School) -> None:
    build("distillation", facts=school.facts(), teacher="good", baseline="poor")
    with pytest.raises(DataError, match=r"task.teacher: poor has accuracy .* no more than good with 0\.\d+"):
        build("distillation", facts=school.facts(), teacher="poor", baseline="good")
    with pytest.raises(DataError, match="no more than good"):
        build("distillation", facts=school.facts(), teacher="good", baseline="good")


def test_the_report_shows_teacher_and_baseline(build: Build, school: School) -> None:
    task = build("distillation", facts=school.facts(), teacher="good", baseline="poor")
    others = task.compared()
    assert list(others) == ["teacher (good)", "baseline (poor)"]
    assert list(others.values()) == [school.tasks["good"], school.tasks["poor"]]


def test_labels_are_needed_unless_all_is_soft(build: Build, batch: Batch) -> None:
    school = School(build, batch, labelled=0)
    none = school.split["y"]
    assert (none == -1).all()
    build("distillation", facts=school.facts(), teacher="good", alpha=1.0).check_targets(none)
    task = build("distillation", facts=school.facts(), teacher="good", alpha=0.9)
    with pytest.raises(DataError, match="no row of the training split has a label"):
        task.check_targets(none)
    with pytest.raises(DataError, match="class index 7"):
        build("distillation", facts=school.facts(), teacher="good", alpha=1.0).check_targets(torch.tensor([0, 7]))


def test_networks_without_an_embedding_are_not_compared_by_it(build: Build, school: School) -> None:
    school.tasks["good"].model = nn.Sequential(school.tasks["good"].model.head)
    with pytest.raises(DataError, match="the network of good has no forward_features"):
        build("distillation", facts=school.facts(), teacher="good", features=0.1)
    with pytest.raises(DataError, match="needs a look at the training rows"):
        build("distillation", facts=school.facts(rows=None), teacher="good", features=0.1)


def _digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)


def _learn(task: Any, x: Tensor, y: Tensor, rate: float, seed: int, steps: int = 1500) -> Any:
    generator, optimizer = torch.Generator().manual_seed(seed), torch.optim.Adam(task.parameters(), rate)
    task.train()
    for _ in range(steps):
        index = torch.randint(len(x), (64,), generator=generator)
        optimizer.zero_grad()
        next(task.step({"x": x[index], "y": y[index], "index": index})).value.backward()
        optimizer.step()
    return task.eval()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_small_network_learns_more_from_a_teacher_than_from_labels_alone() -> None:
    """The measurements of the specification: 100 labels of digits, 8 units, 1,500 steps, 5 seeds."""
    from sklearn.model_selection import train_test_split

    from lamplighter.core.signature import Column, Signature, TensorSpec
    from lamplighter.models.mlp import MLP
    from lamplighter.tasks.classification import Classification
    from lamplighter.tasks.distillation import Distillation

    target = Column(name="y", kind="category", categories=tuple("0123456789"))
    spec = TensorSpec(name="x", dtype="float32", shape=(64,))
    signature = Signature(inputs=(), tensors=(spec,), targets=(target,))
    x, y = _digits()
    found: dict[str, list[float]] = {"alone": [], "same rows": [], "pool": [], "random teacher": []}
    for seed in range(5):
        train, test = train_test_split(np.arange(len(y)), test_size=0.4, stratify=y, random_state=seed)
        few, _ = train_test_split(train, train_size=100, stratify=y[train], random_state=seed)
        pool = torch.where(torch.isin(torch.tensor(train), torch.tensor(few)), y[train], -1)

        def student(teacher: Any, rows: np.ndarray, labels: Tensor, seed: int = seed) -> Any:
            torch.manual_seed(100 + seed)
            model = MLP(64, 10, hidden=(8,))
            if teacher is None:
                return _learn(Classification(model, signature), x[rows], labels, 5e-3, seed)
            opened = FinishedRun("t", teacher, "d", dict)
            data = TensorRows({"x": x[rows], "y": labels})
            counts = torch.bincount(labels[labels >= 0], minlength=10).tolist()
            task = Distillation(
                model, signature, lambda run: opened, "t", teacher_digest="d", class_counts=counts,
                rows=lambda split: data, augmented=False,
            )  # fmt: skip
            return _learn(task, x[rows], labels, 5e-3, seed)

        torch.manual_seed(seed)
        untrained = Classification(MLP(64, 10, hidden=(128, 64)), signature).eval()
        teacher = _learn(Classification(MLP(64, 10, hidden=(128, 64)), signature), x[train], y[train], 1e-3, seed)
        for name, (who, rows, labels) in {
            "alone": (None, few, y[few]),
            "same rows": (teacher, few, y[few]),
            "pool": (teacher, train, pool),
            "random teacher": (untrained, few, y[few]),
        }.items():
            learned = student(who, rows, labels)
            with torch.inference_mode():
                right = learned.model(x[test]).argmax(1) == y[test]
            found[name].append(float(right.double().mean()))
    alone = np.array(found["alone"])
    assert (np.array(found["same rows"]) > alone).all() and np.mean(found["same rows"]) > alone.mean() + 0.04
    assert (np.array(found["pool"]) > alone).all() and np.mean(found["pool"]) > 0.93
    assert (np.array(found["random teacher"]) < alone).all()

"""Stackers as scikit-learn fits them, disagreement that warns of mistakes, scores out of the bag."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import StackingClassifier, StackingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from lamplighter.core.recipe import Component
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.rows import TensorRows
from lamplighter.data.splits import Splits
from lamplighter.evaluate.ensembles import diversity, fit_stacker, out_of_bag
from lamplighter.metrics import ensembles
from lamplighter.metrics.calibration import softmax
from lamplighter.metrics.classification import log_loss
from lamplighter.models.mlp import MLP
from lamplighter.nn.ensembled import Combine
from lamplighter.tasks.classification import Classification
from lamplighter.tasks.ensemble import Ensemble
from lamplighter.tasks.regression import Regression


@pytest.mark.parametrize("data", [load_digits, load_breast_cancer])
def test_stacked_classes_are_scikit_learns(data: Any) -> None:
    x, y = data(return_X_y=True)
    x, y = x[:500], y[:500]
    members = [("tree", DecisionTreeClassifier(max_depth=5, random_state=0)), ("bayes", GaussianNB())]
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    oracle = StackingClassifier(members, LogisticRegression(max_iter=10_000), cv=folds).fit(x, y)
    held_out = [cross_val_predict(member, x, y, cv=folds, method="predict_proba") for _, member in members]
    weight, bias = fit_stacker(held_out, y, classes=True)
    answers = [member.predict_proba(x) for member in oracle.estimators_]
    logits = ensembles.stack_features(answers, classes=True) @ weight.T + bias
    np.testing.assert_allclose(softmax(logits), oracle.predict_proba(x), rtol=0, atol=1e-12)
    combine = Combine(2, weight.shape[0], True, "stacking").double()  # and so does the layer that is exported
    assert combine.stacker is not None
    combine.stacker.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
    given = [torch.from_numpy(np.log(np.maximum(answer, 1e-300))) for answer in answers]
    np.testing.assert_allclose(combine(given).softmax(1).detach().numpy(), oracle.predict_proba(x), atol=1e-12)


@pytest.mark.parametrize("targets", [1, 2])
def test_stacked_numbers_are_scikit_learns(targets: int) -> None:
    x, y = load_diabetes(return_X_y=True)
    y = np.stack([y, -y + x[:, 0]], axis=1)[:, :targets]
    members = [("tree", DecisionTreeRegressor(max_depth=3, random_state=0)), ("ridge", Ridge())]
    held_out = [cross_val_predict(member, x, y, cv=KFold(5)).reshape(-1, targets) for _, member in members]
    weight, bias = fit_stacker(held_out, y, classes=False)
    found = ensembles.stack_features(held_out, classes=False) @ weight.T + bias
    assert found.shape == y.shape
    if targets == 1:
        oracle = StackingRegressor(members, cv=KFold(5)).fit(x, y[:, 0])
        answers = [member.predict(x)[:, None] for member in oracle.estimators_]
        ours = ensembles.stack_features(answers, classes=False) @ weight.T + bias
        np.testing.assert_allclose(ours[:, 0], oracle.predict(x), rtol=1e-9)
    alone = min(float(((member - y) ** 2).mean()) for member in held_out)
    assert float(((found - y) ** 2).mean()) < alone


def test_rows_without_a_target_do_not_move_the_stacker() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    members = (GaussianNB(), DecisionTreeClassifier(max_depth=2))
    held_out = [member.fit(x, y).predict_proba(x) for member in members]
    blanked = y.copy()
    blanked[::3] = -1
    kept = blanked >= 0
    for ours, theirs in zip(
        fit_stacker(held_out, blanked, True), fit_stacker([p[kept] for p in held_out], y[kept], True)
    ):
        assert np.array_equal(ours, theirs)


def test_a_class_that_the_stacker_never_saw_is_never_answered() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(4), size=(2, 90))
    y = np.arange(90) % 3  # class 3 has no rows
    weight, bias = fit_stacker(list(p), y, classes=True)
    logits = ensembles.stack_features(list(p), True) @ weight.T + bias
    assert logits.shape == (90, 4) and (softmax(logits)[:, 3] < 1e-9).all()
    weight, bias = fit_stacker(list(p), y % 2, classes=True)  # two of four classes
    logits = ensembles.stack_features(list(p), True) @ weight.T + bias
    assert softmax(logits)[:, :2].sum(axis=1) == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(
        softmax(logits)[:, :2],
        LogisticRegression(max_iter=10_000).fit(np.hstack(list(p)), y % 2).predict_proba(np.hstack(list(p))),
        atol=1e-9,
    )


@pytest.mark.parametrize("seed", range(5))
def test_stacking_needs_answers_out_of_fold(seed: int) -> None:
    """A tree that learned its rows by heart deserves no trust, which only rows it never saw can tell."""
    x, y = load_breast_cancer(return_X_y=True)
    noisy = np.random.default_rng(seed).normal(size=x.shape) * x.std(axis=0) * 3 + x
    train, test = np.arange(len(y)) % 2 == 0, np.arange(len(y)) % 2 == 1
    members = [DecisionTreeClassifier(random_state=0), DecisionTreeClassifier(random_state=1), GaussianNB()]
    fitted = [member.fit(noisy[train], y[train]) for member in members]
    held_out = [cross_val_predict(member, noisy[train], y[train], cv=5, method="predict_proba") for member in members]
    in_sample = [member.predict_proba(noisy[train]) for member in fitted]
    new = ensembles.stack_features([member.predict_proba(noisy[test]) for member in fitted], True)
    losses = {}
    for name, answers in (("out of fold", held_out), ("in sample", in_sample)):
        weight, bias = fit_stacker(answers, y[train], classes=True)
        losses[name] = log_loss(softmax(new @ weight.T + bias), y[test])
    assert losses["out of fold"] < losses["in sample"] - 0.2


def test_diversity_of_classes() -> None:
    y = np.array([0, 1, 1, 0])
    sure, torn = np.log([0.98, 0.02]), np.log([0.4, 0.6])
    first = {"logits": np.stack([sure, sure[::-1], sure, torn]), "y": y}
    second = {"logits": np.stack([sure, sure[::-1], sure, sure]), "y": y}
    both = {"logits": np.log((softmax(first["logits"]) + softmax(second["logits"])) / 2), "y": y}
    found = diversity([first, second], both)
    assert found.members == 2
    assert found.numbers["agreed"] == 0.75  # they differ on the last row
    assert found.numbers["accuracy_agreed"] == pytest.approx(2 / 3)
    assert found.numbers["accuracy_disagreed"] == 1.0
    assert found.numbers["error_auc"] == pytest.approx(1 / 3)  # the only error is one they agree on
    expected = ensembles.uncertainty([softmax(first["logits"]), softmax(second["logits"])])
    assert found.numbers["mutual_information"] == pytest.approx(expected.mutual_information.mean())
    assert found.sentences()[0].startswith("all 2 members agree on 75.0% of the rows, where 66.7% of the answers")
    same = diversity([first, first], first)
    assert "accuracy_disagreed" not in same.numbers and same.numbers["mutual_information"] == 0
    perfect = diversity([{**second, "y": np.array([0, 1, 0, 0])}] * 2, {**second, "y": np.array([0, 1, 0, 0])})
    assert "error_auc" not in perfect.numbers  # no error to find
    assert len(perfect.sentences()) == 1


def test_diversity_of_numbers() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(400, 1)) * 50
    hard = np.abs(y) / 50
    members = [{"value": y + rng.normal(size=y.shape) * hard * 10, "y": y} for _ in range(4)]
    together = {"value": np.mean([member["value"] for member in members], axis=0), "y": y}
    found = diversity(members, together)
    spread = np.std([member["value"] for member in members], axis=0) / y.std()
    assert found.numbers["deviation"] == pytest.approx(spread.mean())
    assert found.numbers["error_correlation"] > 0.4
    assert "rank correlation with the error" in found.sentences()[0]
    blank = {**together, "y": np.full_like(y, np.nan)}
    assert "error_correlation" not in diversity(members, blank).numbers


@pytest.mark.parametrize("classes", [True, False])
def test_out_of_bag_rows_are_judged_by_members_that_never_saw_them(classes: bool) -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(120, 3, generator=rng)
    y = (x[:, 0] > 0).long() if classes else x[:, :1] * 2
    y[5] = -1 if classes else torch.nan
    target = Column(name="y", kind="category", categories=("n", "p")) if classes else Column(name="y", kind="numeric")
    signature = Signature(inputs=(), tensors=(TensorSpec(name="x", dtype="float32", shape=(3,)),), targets=(target,))

    def make(number: int, model: Any, task: Component) -> Any:
        network = MLP(3, 2 if classes else 1, hidden=())
        return Classification(network, signature) if classes else Regression(network, signature)

    every = np.arange(140)
    splits = Splits(every[:120], every[120:130], every[130:])
    task = Ensemble(make, signature, splits, members=4, bagging=True).eval()
    assert task.counts_MN is not None
    task.counts_MN[:, 7] = 1  # a row that everybody saw
    found = out_of_bag(task, TensorRows({"x": x, "y": y}), 32, torch.device("cpu"))
    with torch.inference_mode():
        given = torch.arange(120) != 5
        each = [member.evaluate({"x": x, "y": y}) for member in task.tasks]
    name = "logits" if classes else "value"
    answers = np.stack([softmax(e[name].numpy()) if classes else e[name].numpy() for e in each])
    unseen = task.counts_MN[:, given].numpy() == 0
    judged = unseen.any(axis=0)
    mean = np.stack([answers[unseen[:, i], i].mean(axis=0) for i in np.flatnonzero(judged)])
    truth = y[given].numpy()[judged]
    assert found.rows == judged.sum() == found.scores["loss"].n < 119
    if classes:
        assert found.scores["accuracy"].value == pytest.approx(np.mean(mean.argmax(axis=1) == truth))
        assert found.scores["loss"].value == pytest.approx(log_loss(mean, truth), rel=1e-6)
    else:
        assert found.scores["mae"].value == pytest.approx(np.abs(mean - truth).mean(), rel=1e-6)
    assert f"({found.rows} training rows" in found.sentences()[0]

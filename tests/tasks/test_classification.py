"""Classification: what counts, what is refused, what is exported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lamplighter.core.errors import DataError, RecipeError, TrainingError
from lamplighter.core.recipe import Component
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.losses.bce import binary_cross_entropy
from lamplighter.losses.class_weights import balanced
from lamplighter.losses.cross_entropy import probabilities
from lamplighter.losses.focal import focal
from lamplighter.metrics.calibration import softmax
from lamplighter.models.mlp import MLP
from lamplighter.tasks.classification import Classification

LABELS = ("a", "b", "c")


def signature(*targets: Column) -> Signature:
    return Signature(
        inputs=(Column(name="x", kind="array", shape=(4,)),),
        tensors=(TensorSpec(name="x", dtype="float32", shape=(4,)),),
        targets=targets or (Column(name="y", kind="category", categories=LABELS),),
    )


def task(**options: Any) -> Classification:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MLP(4, 3, hidden=(5,))
    return Classification(model, signature(), **options)


def batch(rows: int = 20) -> dict[str, Tensor]:
    x = torch.randn(rows, 4, generator=torch.Generator().manual_seed(1))
    return {"x": x, "y": torch.arange(rows) % 3}


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_torchs_and_weighs_the_labelled_rows(smoothing: float) -> None:
    one, rows = task(label_smoothing=smoothing), batch()
    rows["y"][[2, 5, 6]] = -1
    (loss,) = list(one.step(rows))
    expected = nn.functional.cross_entropy(one.model(rows["x"]), rows["y"], label_smoothing=smoothing, ignore_index=-1)
    torch.testing.assert_close(loss.value, expected)
    assert float(loss.weight) == 17


def test_evaluate_leaves_out_rows_without_a_label() -> None:
    one, rows = task().eval(), batch()
    rows["y"][[0, 19]] = -1
    result = one.evaluate(rows)
    torch.testing.assert_close(result["logits"], one.model(rows["x"][1:19]))
    assert torch.equal(result["y"], rows["y"][1:19])


def test_inputs_are_normalised_by_the_training_statistics() -> None:
    plain, normed = task(), task(input_statistics=([1.0, 2.0, 3.0, 4.0], [2.0] * 4))
    x = batch()["x"]
    raw = {"x": x * 2 + torch.tensor([1.0, 2.0, 3.0, 4.0]), "y": batch()["y"]}
    torch.testing.assert_close(normed.evaluate(raw)["logits"], plain.evaluate(batch())["logits"])


def test_metrics_and_scores_agree() -> None:
    one = task().eval()
    outputs = {name: tensor.detach().numpy() for name, tensor in one.evaluate(batch(60)).items()}
    metrics, scores = one.metrics(outputs), one.scores(outputs)
    assert metrics["accuracy"] == np.mean(outputs["logits"].argmax(1) == outputs["y"])
    assert all(scores[name].value == value for name, value in metrics.items())
    assert all(score.n == 60 and score.low <= score.value <= score.high for score in scores.values())
    expected = nn.functional.cross_entropy(torch.from_numpy(outputs["logits"]).double(), batch(60)["y"]).item()
    assert metrics["loss"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ((Column(name="price", kind="numeric"),), r"'price' \(numeric\); use task: \{name: regression\}"),
        (
            (
                Column(name="a", kind="category", categories=LABELS),
                Column(name="b", kind="category", categories=LABELS),
            ),
            "takes one target, this data has 'a'",
        ),
        ((Column(name="a", kind="category", categories=("only",)),), "the single class 'only'"),
    ],
)
def test_data_that_does_not_fit_is_refused(target: tuple[Column, ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        Classification(MLP(4, 3), signature(*target))


@pytest.mark.parametrize("bad", [3, -2, 99])
def test_a_label_out_of_range_is_named(bad: int) -> None:
    y = torch.tensor([0, 1, 2, bad, -1])
    with pytest.raises(DataError, match=rf"training row 3: class index {bad} does not fit 3 labels"):
        task().check_targets(y)


def test_labels_within_range_pass_and_no_label_at_all_does_not() -> None:
    task().check_targets(torch.tensor([0, 2, -1]))
    with pytest.raises(DataError, match="no row of the training split has a label"):
        task().check_targets(torch.tensor([-1, -1]))


@pytest.mark.parametrize("width", [2, 4])
def test_a_model_of_another_width_is_named(width: int) -> None:
    wrong = Classification(MLP(4, width), signature())
    with pytest.raises(TrainingError, match=rf"shape \(20, {width}\); classification needs \(rows, 3\)"):
        next(wrong.step(batch()))
    with pytest.raises(TrainingError, match="classification needs"):
        wrong.evaluate(batch())


def test_the_export_computes_what_was_trained_and_shares_nothing() -> None:
    one = task(input_statistics=([1.0] * 4, [2.0] * 4)).train()
    spec = one.export()
    assert (spec.kind, spec.outputs) == ("classification", ("logits", "embedding"))
    logits, embedding = spec.module(batch()["x"])
    torch.testing.assert_close(logits, one.eval().evaluate(batch())["logits"])
    assert embedding.shape == (20, 5)
    assert not spec.module.training
    assert not any(parameter.requires_grad for parameter in spec.module.parameters())
    assert all(parameter.requires_grad for parameter in one.parameters())
    with torch.no_grad():
        one.model.head.weight.zero_()  # type: ignore[union-attr,operator]
    assert spec.module(batch()["x"])[0].std() > 0.01


def test_a_model_without_features_exports_logits_only() -> None:
    assert Classification(nn.Linear(4, 3), signature()).export().outputs == ("logits",)


def test_the_export_is_contiguous_float32() -> None:
    module = Classification(nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten()), signature()).double()
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = [p for p in module.export().module.parameters() if p.dim() == 4]
    assert all(weight.is_contiguous() and weight.dtype == torch.float32 for weight in weights)


def loss(name: str, **params: Any) -> Component:
    return Component.model_validate({"name": name, **params})


def two_classes(**options: Any) -> Classification:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MLP(4, 2, hidden=(8,))
    return Classification(model, signature(Column(name="sick", kind="category", categories=("no", "yes"))), **options)


def test_auto_is_cross_entropy_and_says_why() -> None:
    one = task(class_counts=(10, 10, 10))
    assert one.notes == ["loss: cross-entropy, because 'y' is one of 3 classes"]
    assert one.resolved()["loss"].name == "cross-entropy"
    again = task(loss=one.resolved()["loss"], class_counts=(10, 10, 10))
    assert again.notes == [], "nothing is decided a second time"


def test_uneven_classes_are_mentioned_unless_weights_are_set() -> None:
    counts = (1000, 500, 5)
    assert "'c' has 5 of 1,505 training rows" in task(class_counts=counts).notes[1]
    assert len(task(class_counts=counts, class_weights="balanced").notes) == 1


def test_class_weights_are_computed_from_the_training_split_and_written_down() -> None:
    one, rows = task(class_weights="balanced", class_counts=(100, 20, 5)), batch()
    weights = torch.tensor(balanced((100, 20, 5)))
    (found,) = list(one.step(rows))
    torch.testing.assert_close(
        found.value, nn.functional.cross_entropy(one.model(rows["x"]), rows["y"], weight=weights)
    )
    torch.testing.assert_close(torch.as_tensor(found.weight), weights[rows["y"]].sum())
    assert one.resolved()["class_weights"] == list(balanced((100, 20, 5)))
    resumed = task(class_weights=tuple(one.resolved()["class_weights"]), class_counts=(1, 1, 1))
    assert torch.equal(next(resumed.step(rows)).value, found.value), "a resume counts nothing again"


def test_focal_with_class_weights() -> None:
    one, rows = task(loss=loss("focal", gamma=1.5), class_weights=(1.0, 2.0, 3.0)), batch()
    rows["y"][3] = -1
    (found,) = list(one.step(rows))
    expected = focal(one.model(rows["x"]), rows["y"], 1.5, class_weights_K=torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(found.value, expected)


def test_probabilities_are_targets_and_a_row_of_zeros_is_none() -> None:
    one, rows = task(), batch()
    (hard,) = one.step({**rows, "y": rows["y"].masked_fill(rows["y"] == 2, -1)})
    y = probabilities(rows["y"], torch.zeros(20, 3))
    y[rows["y"] == 2] = 0
    (soft,) = one.step({**rows, "y": y})
    torch.testing.assert_close(soft.value, hard.value)
    assert float(soft.weight) == float(hard.weight) == 14
    (none,) = one.step({**rows, "y": torch.zeros(20, 3)})
    assert none.value.isnan() and none.weight == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixed_rows_have_the_mix_of_the_losses(smoothing: float) -> None:
    """What mixup needs: class ids mixed as numbers would be a class that is neither parent."""
    one, rows = task(label_smoothing=smoothing).double(), batch()
    rows["x"] = rows["x"].double()
    hot = probabilities(rows["y"], torch.zeros(20, 3, dtype=torch.float64))
    mixed = next(one.step({**rows, "y": 0.3 * hot + 0.7 * hot.roll(1, 0)})).value
    a, b = next(one.step(rows)).value, next(one.step({**rows, "y": rows["y"].roll(1)})).value
    assert mixed.item() == pytest.approx((0.3 * a + 0.7 * b).item(), rel=1e-14)


@pytest.mark.parametrize("shape", [(20,), (20, 2)])
def test_probabilities_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(TrainingError, match=r"probabilities need \(rows, 3\)"):
        next(task().step({**batch(), "y": torch.zeros(shape)}))


def test_of_two_classes_bce_is_the_loss_of_the_difference_of_logits() -> None:
    """So that the softmax of calibration, report and bundle is the sigmoid that was trained."""
    one, rows = two_classes(loss=loss("bce", pos_weight=3.0)), batch()
    rows["y"] = rows["y"].clamp(max=1)
    rows["y"][4] = -1
    (found,) = list(one.step(rows))
    logits = one.model(rows["x"])
    z, kept = logits[:, 1] - logits[:, 0], rows["y"] >= 0
    torch.testing.assert_close(found.value, binary_cross_entropy(z[kept], rows["y"][kept].float(), 3.0))
    assert found.weight == 19
    answered = softmax(one.eval().evaluate(rows)["logits"].detach().numpy())[:, 1]
    np.testing.assert_allclose(answered, z[kept].sigmoid().detach().numpy(), rtol=1e-5)
    plain = next(two_classes().step(rows)).value
    torch.testing.assert_close(next(two_classes(loss=loss("bce")).step(rows)).value, plain)


def test_bce_takes_probabilities_too() -> None:
    one, rows = two_classes(loss=loss("bce")), batch()
    y = torch.stack([torch.linspace(0, 1, 20), 1 - torch.linspace(0, 1, 20)], dim=1)
    expected = next(two_classes().step({**rows, "y": y})).value
    torch.testing.assert_close(next(one.step({**rows, "y": y})).value, expected)
    y[:5] = 0
    found = next(one.step({**rows, "y": y}))
    assert found.weight == 15 and torch.isfinite(found.value)


def test_pos_weight_balanced_is_written_down() -> None:
    one = two_classes(loss=loss("bce", pos_weight="balanced"), class_counts=(90, 10))
    assert one.resolved()["loss"].params == {"pos_weight": 9.0}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": loss("bce")}, r"'bce' scores yes or no.*classification of 3 classes takes cross-entropy, focal$"),
        ({"loss": loss("mse")}, "'mse' scores numbers; classification of 3 classes takes cross-entropy"),
        ({"loss": loss("dice")}, "'dice' scores the overlap of regions"),
        ({"loss": loss("kl")}, "'kl' compares with the logits of a teacher"),
        ({"loss": loss("focal"), "label_smoothing": 0.1}, "task.label_smoothing: 'focal' smooths no labels"),
        ({"loss": loss("cross-entropy", label_smoothing=0.2), "label_smoothing": 0.1}, "give it once"),
        ({"loss": loss("focal", alpha=[1.0, 2.0])}, "task.loss.alpha: 2 numbers for 3 classes"),
        ({"class_weights": (1.0, 2.0)}, "for 3 classes; one number each"),
        ({"class_weights": "balanced"}, "does not keep its targets in memory"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(options: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        task(**options)


def test_class_weights_for_a_loss_without_them_name_what_it_has() -> None:
    with pytest.raises(RecipeError, match=r"task\.class_weights: 'bce' takes none; it has pos_weight for that"):
        two_classes(loss=loss("bce"), class_weights=(1.0, 2.0))


def test_label_smoothing_may_stand_in_the_loss() -> None:
    rows = batch()
    inside = task(loss=loss("cross-entropy", label_smoothing=0.1))
    assert torch.equal(next(inside.step(rows)).value, next(task(label_smoothing=0.1).step(rows)).value)
    both = task(loss=loss("cross-entropy", label_smoothing=0.1), label_smoothing=0.1)
    assert torch.equal(next(both.step(rows)).value, next(inside.step(rows)).value)


def test_the_loss_metric_is_the_log_loss_whatever_trains() -> None:
    outputs = {"logits": batch()["x"][:, :3].double().numpy(), "y": batch()["y"].numpy()}
    expected = task().metrics(outputs)["loss"]
    assert task(loss=loss("focal"), class_weights=(1.0, 5.0, 9.0)).metrics(outputs)["loss"] == expected


def moons(seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Two half moons that overlap, 20 to 1, for training and for judging."""
    from sklearn.datasets import make_moons

    parts = []
    for offset, rows in ((0, 1500), (1000, 3000)):
        x, y = make_moons(rows, noise=0.35, random_state=seed + offset)
        kept = (y == 0) | (np.random.default_rng(seed + offset).random(rows) < 0.05)
        x = np.concatenate([x[kept], np.zeros((kept.sum(), 2))], axis=1)
        parts.append({"x": torch.from_numpy(x).float(), "y": torch.from_numpy(y[kept])})
    return parts[0], parts[1]


def judged(seed: int, **options: Any) -> dict[str, float]:
    train, test = moons(seed)
    counts = tuple(torch.bincount(train["y"]).tolist())
    one = two_classes(class_counts=counts, **options)
    optimizer = torch.optim.AdamW(one.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        next(one.step(train)).value.backward()
        optimizer.step()
    outputs = {name: tensor.detach().numpy() for name, tensor in one.eval().evaluate(test).items()}
    return one.metrics(outputs)


def test_balanced_weights_buy_balanced_accuracy_with_accuracy_and_calibration() -> None:
    """Why auto never chooses them: whether the trade is wanted only the user knows."""
    for seed in range(4):
        plain, weighted = judged(seed), judged(seed, class_weights="balanced")
        assert weighted["balanced_accuracy"] > plain["balanced_accuracy"] + 0.05
        assert weighted["accuracy"] < plain["accuracy"] - 0.03
        assert weighted["loss"] > plain["loss"] + 0.05
        assert weighted["ece"] > plain["ece"]

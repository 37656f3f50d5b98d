"""Classification: what counts, what is refused, what is exported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lamplighter.core.errors import DataError, TrainingError
from lamplighter.core.signature import Column, Signature, TensorSpec
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

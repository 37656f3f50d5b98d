"""What every loss must hold: a mean with its exact weight, nothing from rows that do not count, no overflow."""

from __future__ import annotations

import copy
from typing import get_args

import pytest
import torch
from torch import Tensor

from lamplighter.core import registry
from lamplighter.losses.criterion import Criterion, Takes

ROWS = 24
BLANK = {"classes": -1, "regions": -1, "binary": torch.nan, "numbers": torch.nan, "teacher": torch.nan}
"""What a target holds that does not count, by what a loss compares."""


def examples(takes: str) -> tuple[Tensor, Tensor]:
    """Predictions and targets of `ROWS` rows, float64."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    def classes(*shape: int) -> Tensor:
        return torch.randint(0, 4, shape, generator=generator)

    if takes == "classes":
        return 2 * normal(ROWS, 4), classes(ROWS)
    if takes == "regions":
        return 2 * normal(ROWS, 4, 3, 5), classes(ROWS, 3, 5)
    if takes == "binary":
        return 2 * normal(ROWS, 3), classes(ROWS, 3).double().clamp(max=1)
    if takes == "numbers":
        return normal(ROWS, 2), 2 * normal(ROWS, 2)
    assert takes == "teacher", f"no example for a loss that takes '{takes}'; add one here"
    return normal(ROWS, 4), 2 * normal(ROWS, 4)


@pytest.fixture(params=registry.names("loss"))
def criterion(request: pytest.FixtureRequest) -> Criterion:
    built = registry.build("loss", str(request.param), {})
    assert isinstance(built, Criterion)
    assert built.takes in get_args(Takes)
    return built


def gradient(criterion: Criterion, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value, weight and the gradient of the value."""
    leaf = prediction.clone().requires_grad_()
    value, weight = criterion(leaf, target)
    (found,) = torch.autograd.grad(value, leaf)
    return value.detach(), weight, found


def test_value_and_weight_are_scalars_with_a_gradient(criterion: Criterion) -> None:
    value, weight, found = gradient(criterion, *examples(criterion.takes))
    assert value.shape == weight.shape == ()
    assert torch.isfinite(value) and value > 0 and weight > 0
    assert torch.isfinite(found).all() and found.abs().max() > 0
    assert not weight.requires_grad


def test_the_gradient_is_the_slope(criterion: Criterion) -> None:
    prediction, target = examples(criterion.takes)
    prediction = prediction[:4].requires_grad_()
    assert torch.autograd.gradcheck(lambda p: criterion(p, target[:4])[0], (prediction,))


def test_parts_averaged_by_their_weights_make_the_whole(criterion: Criterion) -> None:
    """What accumulation over micro-batches and ranks relies on."""
    prediction, target = examples(criterion.takes)
    target = blanked(criterion, target, [2, 9, 10])
    value, weight, found = gradient(criterion, prediction, target)
    parts = [gradient(criterion, prediction[cut], target[cut]) for cut in (slice(5), slice(5, 17), slice(17, ROWS))]
    total = sum(part[1] for part in parts)
    torch.testing.assert_close(torch.as_tensor(total), weight, rtol=1e-14, atol=0)
    torch.testing.assert_close(sum(v * w for v, w, _ in parts) / total, value, rtol=1e-13, atol=0)
    joined = torch.cat([g * w for _, w, g in parts]) / total
    torch.testing.assert_close(joined, found, rtol=1e-12, atol=1e-16)


def test_rows_that_do_not_count_change_nothing(criterion: Criterion) -> None:
    prediction, target = examples(criterion.takes)
    rows = [0, 7, 8, 23]
    kept = [row for row in range(ROWS) if row not in rows]
    value, weight, found = gradient(criterion, prediction, blanked(criterion, target, rows))
    alone = gradient(criterion, prediction[kept], target[kept])
    torch.testing.assert_close(value, alone[0], rtol=1e-13, atol=0)
    assert float(weight) == float(alone[1])
    assert found[rows].abs().max() == 0
    torch.testing.assert_close(found[kept], alone[2], rtol=1e-12, atol=1e-16)


def test_without_any_row_that_counts_the_value_is_nan_and_the_gradient_zero(criterion: Criterion) -> None:
    prediction, target = examples(criterion.takes)
    value, weight, found = gradient(criterion, prediction, blanked(criterion, target, list(range(ROWS))))
    assert value.isnan() and weight == 0
    assert found.abs().max() == 0, "NaN, or a gradient out of nothing"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_inputs_are_computed_in_float32(criterion: Criterion, dtype: torch.dtype) -> None:
    prediction, target = examples(criterion.takes)
    low = prediction.to(dtype)
    target = target.to(dtype) if target.is_floating_point() else target
    value, weight = criterion(low, target)
    assert value.dtype == torch.float32
    wide = criterion(low.float(), target.float() if target.is_floating_point() else target)
    assert torch.equal(value, wide[0]) and float(weight) == float(wide[1])


def test_autocast_changes_nothing(criterion: Criterion) -> None:
    prediction, target = examples(criterion.takes)
    prediction, target = prediction.float(), target.float() if target.is_floating_point() else target
    expected = criterion(prediction, target)[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(criterion(prediction, target)[0], expected)


@pytest.mark.parametrize("scale", [1e4, 1e-8])
def test_extreme_predictions_stay_finite(criterion: Criterion, scale: float) -> None:
    """softmax and then log would give -inf here."""
    prediction, target = examples(criterion.takes)
    value, _, found = gradient(criterion, scale * prediction.float(), target.float() if is_float(target) else target)
    assert torch.isfinite(value) and torch.isfinite(found).all()


def test_descending_it_brings_the_prediction_to_the_target(criterion: Criterion) -> None:
    prediction, target = examples(criterion.takes)
    prediction.requires_grad_()
    optimizer = torch.optim.Adam([prediction], lr=0.05)
    before = criterion(prediction, target)[0].item()
    for _ in range(300):
        optimizer.zero_grad()
        value = criterion(prediction, target)[0]
        value.backward()
        optimizer.step()
    assert value.item() < 0.2 * before
    agreement = {
        "classes": lambda: prediction.argmax(1) == target,
        "regions": lambda: prediction.argmax(1) == target,
        "binary": lambda: (prediction > 0) == (target > 0),
        "numbers": lambda: (prediction - target).abs() < 0.2,
        "teacher": lambda: prediction.argmax(1) == target.argmax(1),
    }
    assert agreement[criterion.takes]().double().mean() > 0.95


def test_a_checkpoint_holds_nothing_of_it(criterion: Criterion) -> None:
    """What a loss knows comes from the recipe; a file of weights fits whatever it was trained with."""
    assert criterion.state_dict() == {}
    assert list(criterion.parameters()) == []
    prediction, target = examples(criterion.takes)
    assert torch.equal(copy.deepcopy(criterion)(prediction, target)[0], criterion(prediction, target)[0])


def is_float(tensor: Tensor) -> bool:
    return tensor.is_floating_point()


def blanked(criterion: Criterion, target: Tensor, rows: list[int]) -> Tensor:
    target = target.clone()
    target[rows] = BLANK[criterion.takes]
    return target

"""The arithmetic of mixing: beside torchvision's, and labels that are the measured share of pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional
from torchvision.transforms import v2

from lamplighter.core.errors import DataError
from lamplighter.train.callbacks import mixing


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int, shape: tuple[int, ...] = (3, 12, 17), seed: int = 0) -> torch.Tensor:
    return torch.rand(n, *shape, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 3.0])
def test_shares_follow_the_beta_distribution(alpha: float) -> None:
    draws = mixing.symmetric_beta(alpha, 50_000, generator(1)).numpy()
    assert stats.kstest(draws, stats.beta(alpha, alpha).cdf).pvalue > 0.01
    assert draws.min() >= 0 and draws.max() <= 1
    one, many = generator(5), generator(5)
    for _ in range(200):  # a single draw is the same number, computed without tensors
        single, both = mixing.symmetric_beta(alpha, 1, one), torch.rand(2, 1, generator=many, dtype=torch.float64)
        u, v = both.flatten().tolist()
        polar = 2 * alpha * (u ** (-1 / alpha) - 1) * math.cos(2 * math.pi * v) ** 2
        t = math.copysign(math.sqrt(polar), math.cos(2 * math.pi * v))
        assert single.item() == pytest.approx(0.5 + t / (2 * math.sqrt(2 * alpha + polar)), abs=1e-12)
    assert 0 <= mixing.symmetric_beta(0.0005, 1, generator()).item() <= 1
    assert np.isfinite(mixing.symmetric_beta(0.001, 10_000, generator(2)).numpy()).all()


def test_mixup_equals_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = v2.MixUp(alpha=1.0, num_classes=5)
    for seed in range(20):
        x, y = images(7, seed=seed), torch.randint(0, 5, (7,), generator=generator(seed))
        share = float(torch.rand((), generator=generator(100 + seed), dtype=torch.float64))
        monkeypatch.setattr(oracle, "make_params", lambda _: {"lam": share})  # noqa: B023
        expected_x, expected_y = oracle(x, y)
        partner = torch.arange(7).roll(1)  # torchvision's pairs
        keep = torch.tensor([share], dtype=torch.float64)
        assert torch.allclose(mixing.blend(x, partner, keep.reshape(1, 1, 1, 1)), expected_x, rtol=0, atol=1e-12)
        assert torch.allclose(mixing.mix_targets(y, partner, keep, 5), expected_y, rtol=0, atol=1e-6)


def test_cutmix_equals_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = v2.CutMix(alpha=1.0, num_classes=5)
    seen = []
    for seed in range(60):
        torch.manual_seed(seed)
        x, y = images(6, seed=seed), torch.randint(0, 5, (6,))
        share = float(torch.rand((), dtype=torch.float64))
        torch.manual_seed(1000 + seed)
        column, row = int(torch.randint(17, ())), int(torch.randint(12, ()))
        torch.manual_seed(1000 + seed)  # so that torchvision draws the same centre
        monkeypatch.setattr(oracle, "_dist", _Fixed(share))
        expected_x, expected_y = oracle(x, y)
        keep = mixing.box_masks(
            torch.tensor([share], dtype=torch.float64), torch.tensor([row]), torch.tensor([column]), (12, 17)
        )
        partner = torch.arange(6).roll(1)
        assert torch.equal(mixing.paste(x, partner, keep), expected_x)
        assert torch.allclose(mixing.mix_targets(y, partner, keep.mean((1, 2, 3)), 5), expected_y, rtol=0, atol=1e-6)
        seen.append(float(keep.mean()))
    assert min(seen) < 0.3 and max(seen) > 0.95


class _Fixed:
    """Stands for a distribution."""

    def __init__(self, value: float) -> None:
        self.value = value

    def sample(self, _: Any) -> torch.Tensor:
        return torch.tensor(self.value, dtype=torch.float64)


@pytest.mark.parametrize("per_row", [False, True])
def test_the_label_is_the_share_of_pixels_that_stayed(per_row: bool) -> None:
    """Images of one colour each: what is left of it can be counted."""
    for seed in range(40):
        x = torch.arange(9, dtype=torch.uint8)[:, None, None, None].expand(9, 1, 13, 7).clone()
        y, g = torch.arange(9), generator(seed)
        partner = mixing.partners(y, g)
        keep = mixing.boxes(mixing.symmetric_beta(1.0, 9 if per_row else 1, g), (13, 7), g)
        cut = mixing.paste(x, partner, keep)
        soft = mixing.mix_targets(y, partner, keep.mean((1, 2, 3)), 9)
        counted = torch.stack([(cut == colour).float().mean((1, 2, 3)) for colour in range(9)], dim=1)
        assert (soft - counted).abs().max() < 1e-6
        assert (soft.sum(1) - 1).abs().max() < 1e-6


def test_a_box_covers_a_third_on_average_at_alpha_1() -> None:
    """1 - share is .5 on average; clipping at a random place leaves s - s^2 / 4 of a side s: an area of .3208."""
    g = generator(3)
    area = [1 - mixing.boxes(mixing.symmetric_beta(1.0, 200, g), (224, 224), g).mean((1, 2, 3)) for _ in range(20)]
    assert float(torch.cat(area).mean()) == pytest.approx(0.321, abs=0.012)


def test_an_unclipped_box_has_the_wanted_area() -> None:
    wanted, centre = torch.linspace(0.1, 0.99, 50), torch.full((50,), 250)
    assert torch.allclose(mixing.box_masks(wanted, centre, centre, (500, 500)).mean((1, 2, 3)), wanted, atol=9e-3)


def test_every_pixel_can_be_replaced() -> None:
    g = generator(0)
    keep = mixing.boxes(torch.full((5000,), 0.75), (4, 6), g)
    assert (keep.mean(0) < 1).all()


def test_a_share_of_one_changes_nothing() -> None:
    x, y, partner = images(5), torch.tensor([0, 1, -1, 2, 3]), torch.tensor([2, 0, 1, 4, 3])
    one = torch.ones(1)
    assert torch.equal(mixing.blend(x, partner, one.reshape(1, 1, 1, 1)), x)
    assert torch.equal(mixing.paste(x, partner, mixing.boxes(one, (12, 17), generator())), x)
    soft = mixing.mix_targets(y, partner, one, 4)
    assert torch.equal(soft[[0, 1, 3, 4]], functional.one_hot(y[[0, 1, 3, 4]], 4).float())
    assert not soft[2].any()
    numbers = torch.tensor([[1.0, math.nan], [2.0, 3.0]])
    assert torch.equal(mixing.mix_targets(numbers, torch.tensor([1, 0]), one).nan_to_num(9), numbers.nan_to_num(9))


def test_cross_entropy_of_soft_rows_is_the_mix_of_both() -> None:
    logits, y = torch.randn(6, 4, generator=generator(), dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0, 1])
    partner, share = torch.tensor([3, 2, 1, 0, 5, 4]), torch.tensor([0.3])
    soft = mixing.mix_targets(y, partner, share, 4).double()
    own, other = (functional.cross_entropy(logits, target) for target in (y, y[partner]))
    assert float(functional.cross_entropy(logits, soft)) == pytest.approx(float(0.3 * own + 0.7 * other), abs=1e-7)


def test_a_class_mixed_with_a_blank_is_blank() -> None:
    y, partner, half = torch.tensor([0, -1, 1, -1]), torch.tensor([1, 0, 0, 3]), torch.tensor([0.5])
    assert mixing.mix_targets(y, partner, half, 2).tolist() == [[0, 0], [0, 0], [0.5, 0.5], [0, 0]]


def test_numbers_are_mixed_and_blanks_stay_blank() -> None:
    y = torch.tensor([[1.0, 10.0], [3.0, math.nan], [math.nan, math.nan]])
    mixed = mixing.mix_targets(y, torch.tensor([1, 0, 2]), torch.tensor([0.25]))
    assert mixed[0, 0] == 2.5 and mixed[1, 0] == 1.5
    assert mixed.isnan().tolist() == [[False, True], [False, True], [True, True]]
    flat = mixing.mix_targets(torch.tensor([1.0, 3.0]), torch.tensor([1, 0]), torch.tensor([0.25, 0.5]))
    assert flat.tolist() == [2.5, 2.0]
    assert mixing.mix_targets(y[:, 0].double(), torch.tensor([0, 1, 2]), torch.tensor([0.5])).dtype == torch.float64


@pytest.mark.parametrize("y", [torch.tensor([0, -1, 1, -1, 2, 3, -1]), torch.tensor([1.0, math.nan] * 4)], ids=str)
def test_partners_are_a_permutation_among_those_with_a_target(y: torch.Tensor) -> None:
    blank = y < 0 if not y.is_floating_point() else y.isnan()
    seen = set()
    for seed in range(200):
        partner = mixing.partners(y, generator(seed))
        assert sorted(partner.tolist()) == list(range(len(y)))
        assert torch.equal(blank[partner], blank)
        seen.add(tuple(partner[~blank].tolist()))
    assert len(seen) == math.factorial(int((~blank).sum())), "every permutation comes up"


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_types(dtype: torch.dtype) -> None:
    x = (images(4) * 255).to(dtype)
    partner, keep = torch.tensor([1, 2, 3, 0]), torch.full((1, 1, 1, 1), 0.37, dtype=torch.float64)
    blended = mixing.blend(x, partner, keep)
    assert blended.dtype == (torch.float32 if dtype == torch.uint8 else dtype)
    exact = 0.37 * x.double() + 0.63 * x.double()[partner]
    assert (blended.double() - exact).abs().max() <= {torch.float16: 0.1, torch.bfloat16: 0.6}.get(dtype, 2e-5)
    assert mixing.paste(x, partner, (keep > 0.5).float()).dtype == dtype


def test_memory_order_stays() -> None:
    x = images(4).contiguous(memory_format=torch.channels_last)
    partner = torch.tensor([1, 2, 3, 0])
    for keep in (torch.rand(1, 1, 1, 1), torch.rand(4, 1, 1, 1), torch.rand(4, 1, 12, 17).round()):
        for mixed in (mixing.blend(x, partner, keep), mixing.paste(x, partner, keep.round())):
            assert mixed.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(mixing.blend(x, partner, keep), mixing.blend(x.contiguous(), partner, keep))


def test_what_cannot_be_mixed_is_refused() -> None:
    x, y = torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(DataError, match="works on images"):
        mixing.inputs_of({"x": x, "y": y}, "cutmix", images=True)
    with pytest.raises(DataError, match=r"holds torch\.int64"):
        mixing.inputs_of({"x": x.long(), "y": y}, "mixup", images=False)
    with pytest.raises(DataError, match="this data has tokens, y"):
        mixing.inputs_of({"tokens": x, "y": y}, "mixup", images=False)
    with pytest.raises(DataError, match=r"y has shape \(2, 3\)"):
        mixing.mix_targets(x.long(), torch.tensor([1, 0]), torch.ones(1), 4)
    with pytest.raises(DataError, match="one class or numbers"):
        mixing.mix_targets(y, torch.tensor([1, 0]), torch.ones(1), None)

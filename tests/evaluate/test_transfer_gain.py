"""What weights gain over seeds: paired, with an interval; the sentence; the picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lamplighter.core.errors import LamplighterError
from lamplighter.evaluate.transfer_gain import Arm, TransferGain, picture

SCRATCH = {0: 0.40, 1: 0.50, 2: 0.45, 3: 0.55}
FINE = {0: 0.48, 1: 0.55, 2: 0.56, 3: 0.60}
HEAD = {0: 0.30, 1: 0.60, 2: 0.40, 3: 0.65}


def gain(mode: str = "max", seeds: int = 4) -> TransferGain:
    def of(values: dict[int, float]) -> dict[int, float]:
        return {seed: value if mode == "max" else -value for seed, value in list(values.items())[:seeds]}

    arms = (
        Arm("from scratch", None, 100, of(SCRATCH)),
        Arm("fine-tuning", 0, 100, of(FINE)),
        Arm("head only", 2, 10, of(HEAD)),
    )
    return TransferGain("accuracy" if mode == "max" else "loss", mode, arms)


def test_gains_are_paired_by_seed_and_the_interval_is_the_paired_t() -> None:
    found = gain()
    fine = found.arms[1]
    assert fine.mean == pytest.approx(0.5475) and fine.sd == pytest.approx(np.std(list(FINE.values()), ddof=1))
    differences = np.array(list(FINE.values())) - np.array(list(SCRATCH.values()))
    np.testing.assert_allclose(found.gains(fine), differences)
    reference = stats.ttest_rel(list(FINE.values()), list(SCRATCH.values())).confidence_interval(0.95)
    assert found.interval(fine) == pytest.approx((reference.low, reference.high))


def test_with_a_metric_to_be_small_the_gain_is_the_fall() -> None:
    falling = gain("min")
    assert falling.gains(falling.arms[1]) == pytest.approx(gain().gains(gain().arms[1]))
    assert falling.best.name == "fine-tuning"
    assert falling.rows()[1][4] == "4 of 4"


def test_the_table_has_a_row_for_each_arm() -> None:
    assert gain().rows() == [
        ["from scratch", "100", "0.4750 (sd 0.065)", "", ""],
        ["fine-tuning", "100", "0.5475 (sd 0.050)", "+0.0725 (+0.0268 to +0.1182)", "4 of 4"],
        ["head only", "10", "0.4875 (sd 0.165)", "+0.0125 (-0.1515 to +0.1765)", "2 of 4"],
    ]
    assert gain(seeds=1).rows()[1] == ["fine-tuning", "100", "0.4800", "+0.0800", "1 of 1"]


def test_the_verdict_says_whether_it_may_be_chance() -> None:
    assert gain().verdict() == (
        "Best over 4 seeds: fine-tuning, accuracy 0.5475 against 0.4750 from scratch; "
        "the gain is 0.0268 to 0.1182 with 95% confidence."
    )
    noisy = TransferGain("accuracy", "max", (gain().arms[0], gain().arms[2]))
    assert noisy.verdict().endswith("the interval of the gain, -0.1515 to +0.1765, holds 0: try more seeds.")
    assert gain(seeds=1).verdict().endswith("one seed says nothing about chance.")
    useless = TransferGain("accuracy", "max", (gain().arms[1], gain().arms[0]))
    assert useless.verdict() == "From scratch is best over 4 seeds: these weights do not help here."
    assert math.isnan(gain(seeds=1).arms[0].sd)


@pytest.mark.parametrize("seeds", [1, 4])
def test_the_picture_names_the_blocks(tmp_path: Path, seeds: int) -> None:
    picture(tmp_path / "study.svg", gain(seeds=seeds), ["stem", "body"])
    text = (tmp_path / "study.svg").read_text()
    for words in ("fine-tuning", "head only", "validation accuracy"):
        assert f"<!-- {words} -->" in text
    again = tmp_path / "again.svg"
    picture(again, gain(seeds=seeds), ["stem", "body"])
    assert again.read_text() == text
    picture(tmp_path / "study.png", gain(), ["stem", "body"])
    assert (tmp_path / "study.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(LamplighterError, match="end in"):
        picture(tmp_path / "study.pdf", gain(), [])

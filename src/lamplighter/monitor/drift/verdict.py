"""What a drift check says, and what a detector has to offer."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from lamplighter.monitor.drift.baseline import Baseline


@dataclass(frozen=True)
class FeatureDrift:
    """One column, then and now.

    Attributes:
        name: of the column.
        test: ``kolmogorov-smirnov``, ``chi-square``, ``fisher-exact``, ``missing-share`` or ``none`` (nothing varies).
        statistic: of that test.
        p_value: of this column alone.
        corrected_p: corrected for all columns and detectors of the check; compare it with the verdict's ``alpha``.
        effect: how large the change is, whatever the sample size. Numeric: Wasserstein distance in standard deviations
            of the reference; category: Jensen-Shannon distance, 0 to 1. A change of the share of missing values
            counts with its difference when that is larger.
        psi: population stability index over the reference's bins.
        psi_critical: the index exceeds this with probability (alpha / columns) when nothing has changed; fixed
            thresholds such as 0.1 or 0.2 mean different things at different sample sizes.
        missing_reference: share of missing values in the reference.
        missing_current: share of missing values now.
        drifted: ``corrected_p <= alpha`` and ``effect >= min_effect``.
    """

    name: str
    test: str
    statistic: float
    p_value: float
    corrected_p: float
    effect: float
    psi: float = 0.0
    psi_critical: float = 0.0
    missing_reference: float = 0.0
    missing_current: float = 0.0
    drifted: bool = False


@dataclass(frozen=True)
class Finding:
    """What one detector says.

    Attributes:
        p_value: probability of data this extreme when nothing has changed, already corrected for everything the
            detector looked at.
        effect: size of the change on a scale where 0 is none; compared with ``min_effect``.
        features: one entry for each column, when the detector looks at columns. Their ``corrected_p`` is corrected
            within this detector. Names that are no column (a pair of columns, say) are shown without a histogram.
        skipped: why the detector could not run; its share of alpha goes to the others.
        detector: filled in by the check.
        drifted: filled in by the check.
    """

    p_value: float
    effect: float
    features: tuple[FeatureDrift, ...] = ()
    skipped: str = ""
    detector: str = ""
    drifted: bool = False


class Detector(Protocol):
    """A test for drift: a catalog component of kind ``detector``.

    Its p-value must be valid: at most a share x of checks on unchanged data may report ``p_value <= x``.
    """

    def __call__(self, reference: Baseline, current: np.ndarray, alpha: float, seed: int) -> Finding:
        """Compare.

        Args:
            reference: what was normal.
            current: (rows, columns) float64 in the order of ``reference.columns``; NaN is missing.
            alpha: the smallest error rate the finding will be held against.
            seed: for random subsets and permutations.
        """
        ...


@dataclass(frozen=True)
class Verdict:
    """Has the data changed?

    Attributes:
        drifted: a detector found a change whose corrected p-value is at most ``alpha`` and whose effect is at least
            ``min_effect``. When nothing has changed this happens in at most a share ``alpha`` of all checks.
        p_value: the smallest p-value, corrected for all columns and detectors.
        alpha: family-wise error rate of this verdict.
        min_effect: smallest effect that counts.
        n_reference: rows before.
        n_current: rows now.
        features: column by column, each with its strongest finding.
        findings: detector by detector (without their features).
        reason: why nothing could be tested; empty otherwise.
    """

    drifted: bool
    p_value: float
    alpha: float
    min_effect: float
    n_reference: int
    n_current: int
    features: tuple[FeatureDrift, ...] = ()
    findings: tuple[Finding, ...] = ()
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data that ``json.dumps(..., allow_nan=False)`` accepts."""
        result = dataclasses.asdict(self)
        for finding in result["findings"]:
            del finding["features"]
        return result

    @property
    def worst(self) -> tuple[FeatureDrift, ...]:
        """Columns that drifted, largest effect first."""
        return tuple(sorted((f for f in self.features if f.drifted), key=lambda f: -f.effect))

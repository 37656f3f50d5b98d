"""One verdict from several detectors, with one error rate for the whole family of tests."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from lamplighter.core import recipe, registry
from lamplighter.core.errors import DataError
from lamplighter.monitor.drift.baseline import Baseline, matrix
from lamplighter.monitor.drift.verdict import Detector, FeatureDrift, Finding, Verdict

MIN_ROWS = 20


def check(
    reference: ArrayLike | Baseline,
    current: ArrayLike,
    alpha: float = 0.05,
    seed: int = 0,
    *,
    kinds: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    min_effect: float = 0.0,
    detectors: Sequence[Detector] | None = None,
) -> Verdict:
    """Has the data changed?

    With k detectors each one works at alpha / k and corrects for its own columns, so by Bonferroni unchanged data is
    called drifted in at most a share ``alpha`` of all checks. ``min_effect`` is a second hurdle a finding has to
    clear, not another way to be found, so it can only lower that share. A check an hour at alpha = 0.05 still means
    1.2 false alarms a day: ask for several drifted windows in a row, or for a smaller alpha.

    Args:
        reference: (rows, columns), what was normal; NaN is missing. Or a `Baseline`.
        current: (rows, columns), what comes in now.
        alpha: family-wise error rate of the verdict.
        seed: of the permutations; the same seed gives the same verdict.
        kinds: ``"numeric"`` or ``"category"`` for each column; numeric when left out.
        names: of the columns.
        min_effect: smallest effect that counts. Large samples make the tiniest change significant; 0.1 (a tenth of
            a standard deviation) leaves such changes out.
        detectors: those of a recipe that does not say, `univariate.Univariate` and `mmd.MMD`, when left out.

    Returns:
        The verdict. With fewer than 20 rows on a side nothing is tested, and ``reason`` says so.

    Raises:
        DataError: not 2-D arrays of numbers with as many columns on both sides.

    >>> rng = np.random.default_rng(0)
    >>> verdict = check(rng.normal(size=(400, 2)), rng.normal(size=(400, 2)) + [0.5, 0], names=["age", "income"])
    >>> [feature.name for feature in verdict.worst]
    ['age']
    """
    if not 0 < alpha < 1:
        raise DataError(f"alpha is an error rate between 0 and 1, not {alpha}")
    baseline = reference if isinstance(reference, Baseline) else Baseline.from_rows(np.asarray(reference), kinds, names)
    now = matrix(np.asarray(current), "current")
    if now.shape[1] != len(baseline.columns):
        raise DataError(f"current has {now.shape[1]} columns, the reference has {len(baseline.columns)}")
    before = baseline.n if baseline.rows is None else len(baseline.rows)
    blank = Verdict(False, 1.0, alpha, min_effect, before, len(now))
    if min(before, len(now)) < MIN_ROWS:
        reason = f"too few rows: {before} in the reference, {len(now)} now; at least {MIN_ROWS} are needed"
        return dataclasses.replace(blank, reason=reason)
    detectors = build_detectors(recipe.Monitor().detectors) if detectors is None else tuple(detectors)
    findings = [
        dataclasses.replace(d(baseline, now, alpha / len(detectors), seed), detector=_name(d)) for d in detectors
    ]
    return _combine(blank, findings)


def build_detectors(components: Sequence[recipe.Component]) -> tuple[Detector, ...]:
    """Detectors of a recipe's ``monitor.detectors``."""
    return tuple(registry.build("detector", c.name, c.params, {"seed": 0}) for c in components)


def _name(detector: Detector) -> str:
    """What people see: the name of its class, or its own when it is a function."""
    return str(getattr(detector, "__name__", type(detector).__name__))


def _combine(blank: Verdict, findings: list[Finding]) -> Verdict:
    """Bonferroni over the detectors that ran."""
    share = sum(not finding.skipped for finding in findings)
    if share == 0:
        return dataclasses.replace(
            blank,
            findings=tuple(findings),
            reason="; ".join(f"{finding.detector}: {finding.skipped}" for finding in findings) or "no detectors",
        )
    judged = [_judge(finding, share, blank.alpha, blank.min_effect) for finding in findings]
    return dataclasses.replace(
        blank,
        drifted=any(finding.drifted for finding in judged),
        p_value=min(finding.p_value for finding in judged),
        features=_strongest(judged),
        findings=tuple(judged),
    )


def _strongest(findings: list[Finding]) -> tuple[FeatureDrift, ...]:
    """One entry for each column, however many detectors looked at it: one that drifted, of these the least p-value."""
    best: dict[tuple[str, int], FeatureDrift] = {}
    for finding in findings:
        seen: Counter[str] = Counter()
        for feature in finding.features:
            key = (feature.name, seen[feature.name])  # two columns may have one name
            seen[feature.name] += 1
            other = best.setdefault(key, feature)
            if (not feature.drifted, feature.corrected_p) < (not other.drifted, other.corrected_p):
                best[key] = feature
    return tuple(best.values())


def _judge(finding: Finding, share: int, alpha: float, min_effect: float) -> Finding:
    """Correct a finding's p-values for the number of detectors and hold them against ``alpha``."""
    if finding.skipped:
        return finding
    features = []
    for feature in finding.features:
        corrected = min(1.0, feature.corrected_p * share)
        drifted = corrected <= alpha and feature.effect >= min_effect
        features.append(dataclasses.replace(feature, corrected_p=corrected, drifted=drifted))
    p_value = min(1.0, finding.p_value * share)
    drifted = any(f.drifted for f in features) if features else p_value <= alpha and finding.effect >= min_effect
    return dataclasses.replace(finding, p_value=p_value, features=tuple(features), drifted=drifted)

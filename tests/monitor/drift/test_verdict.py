"""What a verdict says."""

from __future__ import annotations

from lamplighter.monitor.drift import FeatureDrift, Finding, Verdict


def test_worst_lists_drifted_features_largest_effect_first() -> None:
    features = tuple(
        FeatureDrift(name, "chi-square", 1.0, 0.01, 0.02, effect, drifted=drifted)
        for name, effect, drifted in (("a", 0.2, True), ("b", 9.0, False), ("c", 0.5, True))
    )
    verdict = Verdict(True, 0.02, 0.05, 0.1, 100, 50, features, (Finding(0.02, 0.5, features),))
    assert [f.name for f in verdict.worst] == ["c", "a"]
    assert verdict.to_dict()["n_current"] == 50

"""What a search says about itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from lamplighter.core.recipe import Recipe, Search
from lamplighter.evaluate.optimism import Optimism, expected_optimism
from lamplighter.search.report import write_search_report
from lamplighter.search.result import SearchResult, Trial


def _trial(number: int, value: float | None, **more: object) -> Trial:
    settings = {"state": "complete" if value is not None else "pruned", "error": ""} | more
    reports = {1: 0.4, 2: value} if value is not None else {1: 0.4}
    params = {"train.optimizer.lr": 0.1 / (number + 1), "model.hidden": [8]}
    return Trial(number, value=value, params=params, reports=reports, seconds=1.5, path=Path(f"t{number}"), **settings)  # type: ignore[arg-type]


def _result(recipe: Recipe, mode: str = "max", optimism: Optimism | None = None) -> SearchResult:
    trials = (_trial(0, 0.7), _trial(1, None), _trial(2, 0.9), _trial(3, None, state="failed", error="<b>lost</b>"))
    return SearchResult(Path("s"), "accuracy", mode, (*trials, _trial(4, 0.9)), recipe, {"model.hidden": 1.0}, optimism)


def test_the_best_is_the_first_of_equals_and_depends_on_the_mode(moons: Callable[..., Recipe]) -> None:
    up, down = _result(moons()), _result(moons(), "min")
    assert [trial.number for trial in up.ranked()] == [2, 4, 0] and up.best_value == 0.9
    assert down.best_trial.number == 0 and down.best_params == {"train.optimizer.lr": 0.1, "model.hidden": [8]}
    plain = json.loads(json.dumps(up.to_dict()))
    assert plain["best"] == {"trial": 2, "value": 0.9, "params": up.best_params} and len(plain["trials"]) == 5


def test_the_warning_says_what_to_expect(moons: Callable[..., Recipe]) -> None:
    noisy = _result(moons(), optimism=Optimism(0.05, 0.03, 3, 0.8))
    assert "expect accuracy 0.8500 rather than 0.9000" in noisy.warning()
    assert "The 3 best trials differ mostly by chance (80% of their variance)" in noisy.warning()
    clear = _result(moons(), "min", Optimism(0.01, 0.01, 2, 0.2))
    assert "expect accuracy 0.7100 rather than 0.7000" in clear.warning() and "by chance" not in clear.warning()
    for nothing in (None, expected_optimism([0.9], 0.01, "max")):
        assert "only the test split can say" in _result(moons(), optimism=nothing).warning()


def test_the_report_shows_every_trial_and_escapes_what_it_is_given(
    moons: Callable[..., Recipe], tmp_path: Path
) -> None:
    space = {"train.optimizer.lr": {"log": (0.001, 0.1)}, "model.hidden": {"choice": ([8], [64, 64], "$<b>$")}}
    settings = Search.model_validate({"space": space, "pruner": "median"})
    write_search_report(tmp_path / "report.html", _result(moons(), optimism=Optimism(0.05, 0.03, 3, 0.8)), settings)
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg role") == 4  # history, curves, one for each key
    assert "pruned after epoch 1" in page and "3 complete trials, 1 pruned, 1 failed" in page
    assert "<b>lost" not in page and "&lt;b&gt;lost" in page
    assert "differ mostly by chance" in page and "0.9000" in page
    assert "http://" not in page.replace("http://www.w3.org", "") and "<script" not in page
    assert "64, 64" in page and "log" in settings.space["train.optimizer.lr"].kind

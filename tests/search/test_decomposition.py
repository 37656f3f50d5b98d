"""Bias and variance of recipes: a stiff and a nervous model, the test split shut, interrupted anywhere. (`many`.)"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from lamplighter.cli.app import app
from lamplighter.core.errors import DataError, InterruptedRunError, RunError
from lamplighter.core.recipe import Recipe
from lamplighter.metrics import bias_variance as metrics
from lamplighter.metrics.calibration import softmax
from lamplighter.run import Run, build_source
from lamplighter.search import bias_variance, decomposition, many

Make = Callable[..., Recipe]


def test_the_parts_are_those_of_the_runs_and_no_row_is_where_it_must_not_be(
    moons: Make, fetched: set[int], tmp_path: Path
) -> None:
    recipe = moons()
    own = build_source(recipe).splits
    found = bias_variance(recipe, 3, out=tmp_path / "study", progress=False)
    assert not fetched & set(own.test.tolist()), "the test split stays shut"
    logits, drawn = [], []
    for number in (1, 2, 3):
        run = Run(found.path / f"repeat-{number}")
        splits = run.source().splits
        np.testing.assert_array_equal(splits.test, np.sort(own.val))
        rows = np.sort(np.concatenate([splits.train, splits.val]))
        assert set(rows.tolist()) <= set(own.train.tolist()) and len(rows) == round(0.5 * len(own.train))
        assert run.recipe.train.epochs == 4, "half the rows, twice the epochs"
        assert run.recipe.seed == recipe.seed + number - 1
        drawn.append(tuple(rows.tolist()))
        logits.append(run.answers("test", again=True)[1])
    assert len(set(drawn)) == 3
    p, y = np.stack([softmax(each["logits"]) for each in logits]), logits[0]["y"]
    assert found.parts["brier"] == metrics.brier(p, y)
    assert found.parts["zero-one"] == metrics.zero_one(p.argmax(axis=2), y)
    assert json.loads((found.path / "bias-variance.json").read_text()) == found.to_dict()
    assert found.lines()[0] == "3 models, each trained on 50% of the training rows, on 48 rows"


def test_a_stiff_model_has_the_bias_and_a_nervous_one_the_variance(moons: Make, tmp_path: Path) -> None:
    """A linear model on half-moons; and a wide network that learns 48 noisy rows by heart."""
    stiff = moons(**{"data.noise": 0.1, "model.hidden": [], "train.epochs": 20})
    nervous = moons(
        **{"data.noise": 0.6, "data.rows": 160, "model.hidden": [256], "train.epochs": 60},
        **{"train.optimizer": {"name": "adamw", "lr": 0.02, "weight_decay": 0.0}},
        **{"train.monitor": {"metric": "brier", "mode": "max"}, "bundle.calibrate": False},  # the worst epoch
    )
    biased = bias_variance(stiff, 6, out=tmp_path / "stiff", progress=False)
    varied = bias_variance(nervous, 6, out=tmp_path / "nervous", progress=False)
    one, other = biased.parts["brier"], varied.parts["brier"]
    assert one.bias > 5 * one.variance and "bias" in biased.advice
    assert other.variance / other.loss > 3 * one.variance / one.loss
    for part in (one, other, biased.parts["zero-one"], varied.parts["zero-one"]):
        assert part.bias + part.variance == pytest.approx(part.loss, rel=1e-9)


def test_numbers_have_a_squared_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 2))
    table = tmp_path / "table.csv"
    lines = [f"{a:.4f},{b:.4f},{3 * a - b + rng.normal() * 0.5:.4f}" for a, b in x]
    table.write_text("\n".join(["a,b,y", *lines]))
    recipe = Recipe.parse(
        f"""
name: numbers
threads: 1
data: {{name: table, path: {table}, target: y, batch_size: 32}}
model: {{name: mlp, hidden: []}}
task: {{name: regression}}
train: {{epochs: 60, precision: fp32, optimizer: {{name: adamw, lr: 0.05}}}}
"""
    )
    found = bias_variance(recipe, 4, share=0.8, out=tmp_path / "study", progress=False)
    (part,) = found.parts.values()
    assert list(found.parts) == ["squared error"]
    assert part.bias + part.variance == pytest.approx(part.loss, rel=1e-9)
    assert 0.1 < part.bias < 0.6, "the noise, .25, is in it"
    assert part.variance < 0.1


def test_an_interrupted_study_goes_on_where_it_stopped(moons: Make, tmp_path: Path, monkeypatch: Any) -> None:
    recipe, out = moons(), tmp_path / "broken"
    whole = bias_variance(recipe, 3, out=tmp_path / "whole", progress=False)
    fit, trained = many.fit, []

    def broken(*args: Any, **options: Any) -> Run:
        trained.append(args)
        if len(trained) == 2:
            raise InterruptedRunError("stopped", 15)
        return fit(*args, **options)

    monkeypatch.setattr(many, "fit", broken)
    with pytest.raises(InterruptedRunError, match=r"training 2 of 3; .* lamp study bias-variance .*request.yaml") as e:
        bias_variance(recipe, 3, out=out, progress=False)
    assert e.value.exit_code == 143 and "--repeats 3 --share 0.5 --out" in str(e.value)
    resumed = bias_variance(recipe, 3, out=out, resume=True, progress=False)
    assert resumed.parts == whole.parts
    with pytest.raises(RunError, match="repeats: 4, it has 3"):
        bias_variance(recipe, 4, out=out, resume=True, progress=False)


def test_what_cannot_be_studied_is_refused(moons: Make) -> None:
    with pytest.raises(DataError, match="at least 2 repeats"):
        bias_variance(moons(), 1)
    with pytest.raises(DataError, match="share 0"):
        bias_variance(moons(), 5, share=0)
    with pytest.raises(DataError, match="answers otherwise"):
        decomposition._decompose([{"logits": np.zeros((2, 3)), "y": np.zeros((2, 3))}] * 2)


def test_from_the_command_line(moons: Make, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    moons().save(recipe)
    arguments = ["study", "bias-variance", str(recipe), "--repeats", "2", "--out", str(tmp_path / "a"), "--quiet"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 and "2 models, each trained on 50%" in result.output and "zero-one: " in result.output
    result = CliRunner().invoke(app, [*arguments[:-2], str(tmp_path / "b"), "--quiet", "--json", "--share", "0.7"])
    assert json.loads(result.stdout)["share"] == 0.7
    result = CliRunner().invoke(app, [*arguments, "--sizes", "3"])
    assert result.exit_code != 0 and "--sizes is for learning-curve" in str(result.exception)

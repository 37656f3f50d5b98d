"""Out-of-fold answers: every training row answered by networks that never saw it, and the test split left alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lamplighter.core.errors import InterruptedRunError, RunError
from lamplighter.core.recipe import Recipe
from lamplighter.data.splits import Splits
from lamplighter.metrics.calibration import softmax
from lamplighter.run import Run, build_source, fit
from lamplighter.run import out_of_fold as module
from lamplighter.run.out_of_fold import check_retrainable, out_of_fold
from lamplighter.train.progress import NoProgress

RECIPE = """
name: digits
threads: 1
data: {name: digits, batch_size: 64}
model: {name: mlp, hidden: [16]}
task: {name: classification}
train: {epochs: 2, precision: fp32, optimizer: {name: adamw, lr: 0.01}}
"""


class Said(NoProgress):
    """Remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


def table(tmp_path: Path, blanks: int = 0) -> Recipe:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(90, 2))
    lines = [f"{a:.4f},{b:.4f},{3 * a - b:.4f}" for a, b in points]
    (tmp_path / "t.csv").write_text("a,b,y\n" + "\n".join(lines) + "\n")
    return Recipe.parse(
        f"{{name: t, threads: 1, data: {{name: table, path: {tmp_path / 't.csv'}, target: y, batch_size: 16}}, "
        "model: {name: mlp, hidden: [4]}, task: {name: regression}, train: {epochs: 3, precision: fp32}}"
    )


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Splits, Run, torch.Tensor]]:
    """Splits, run and answers of each fold, kept before its folder goes."""
    seen: list[Any] = []

    def spy(recipe: Recipe, out: Path, **options: Any) -> Run:
        run = fit(recipe, out, **options)
        rows = run.source().split("test")
        batch = rows.fetch(np.arange(len(rows)))
        outputs = run.task().evaluate(batch)
        seen.append((options["splits"], [r["event"] for r in run.history], run.temperature, outputs))
        return run

    monkeypatch.setattr(module, "fit", spy)
    return seen


def test_every_training_row_is_answered_by_a_network_that_never_saw_it(fits: list[Any], tmp_path: Path) -> None:
    recipe, said = Recipe.parse(RECIPE), Said()
    source = build_source(recipe)
    positions, answers, y = out_of_fold(recipe, source, 3, tmp_path, said, "mlp")
    own = source.splits
    assert np.array_equal(positions, np.arange(len(own.train)))
    assert np.array_equal(y, source.split("train").fetch(positions)["y"].numpy())
    assert np.allclose(answers.sum(axis=1), 1)
    assert len(fits) == 3
    together = np.concatenate([splits.test for splits, *_ in fits])
    assert np.array_equal(np.sort(together), np.sort(own.train))
    for splits, events, temperature, outputs in fits:
        assert np.array_equal(splits.val, own.val)
        assert not set(splits.train) & set(splits.test)
        assert set(splits.train) | set(splits.test) == set(own.train)
        assert set(splits.unused) == set(own.test)  # nobody looks at the test rows
        assert "test_opened" not in events
        rank = [int(np.flatnonzero(own.train == row)[0]) for row in splits.test]
        np.testing.assert_allclose(answers[rank], softmax(outputs["logits"].detach().numpy(), temperature), atol=1e-6)
    assert said.lines == [f"mlp: fold {k} of 3, {len(fits[k - 1][0].train):,} rows" for k in (1, 2, 3)]
    assert list(tmp_path.iterdir()) == []  # the folds' runs are gone


def test_folds_are_the_same_for_every_recipe_on_the_data(fits: list[Any], tmp_path: Path) -> None:
    recipe = Recipe.parse(RECIPE)
    source = build_source(recipe)
    out_of_fold(recipe, source, 2, tmp_path, NoProgress())
    out_of_fold(recipe.with_(model={"name": "mlp", "hidden": [4]}), source, 2, tmp_path, NoProgress())
    first, second = fits[:2], fits[2:]
    assert all(a[0] == b[0] for a, b in zip(first, second))


def test_numbers_are_answered_in_their_own_units(tmp_path: Path) -> None:
    recipe = table(tmp_path)
    source = build_source(recipe)
    positions, answers, y = out_of_fold(recipe, source, 2, tmp_path, NoProgress())
    assert answers.shape == y.shape == (len(source.splits.train), 1)
    np.testing.assert_allclose(y, source.split("train").fetch(positions)["y"].numpy())


def test_an_interruption_says_what_to_do_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **options: Any) -> Run:
        if options["splits"].train[0] >= 0:
            raise InterruptedRunError("stopped in epoch 1", signal.SIGTERM)
        raise AssertionError

    monkeypatch.setattr(module, "fit", stopped)
    recipe = Recipe.parse(RECIPE)
    with pytest.raises(InterruptedRunError, match="stopped in fold 1 of mlp; nothing was kept, run the") as caught:
        out_of_fold(recipe, build_source(recipe), 2, tmp_path, NoProgress(), "mlp")
    assert caught.value.exit_code == 128 + signal.SIGTERM
    assert os.listdir(tmp_path) == []


def test_members_that_cannot_be_kept_from_the_rows_are_refused() -> None:
    recipe = Recipe.parse(RECIPE)
    check_retrainable("a", recipe)
    check_retrainable("a", recipe.with_(task={"name": "ensemble", "members": 3}))
    taught = {"name": "distillation", "teacher": "runs/big/1"}
    with pytest.raises(RunError, match=r"a: stacking trains .* its teacher runs/big/1 was trained on all"):
        check_retrainable("a", recipe.with_(task=taught))
    made = {"name": "ensemble", "members": [{"run": "runs/a/1"}, {"run": "runs/a/2"}]}
    with pytest.raises(RunError, match="it is made of finished runs"):
        check_retrainable("a", recipe.with_(task=made))

"""Settings: the bundle's recipe, and what is set on top of it."""

from __future__ import annotations

from typing import Any

import pytest

from lamplighter.core.errors import RecipeError
from lamplighter.serving.settings import settings_of


def test_recipe_of_the_bundle_and_overrides(make_table: Any) -> None:
    made = make_table(max_batch=64).manifest
    serve, monitor = settings_of(made, ["serve.max_queue=7", "monitor.alpha=1e-3"])
    assert (serve.max_batch, serve.max_queue, monitor.alpha) == (64, 7, 1e-3)


def test_a_recipe_without_these_sections_takes_defaults(make_table: Any) -> None:
    made = make_table().manifest.model_copy(update={"recipe": {}})
    assert settings_of(made)[0].max_batch == 32


def test_all_mistakes_at_once(make_table: Any) -> None:
    overrides = ["serve.max_bach=3", "monitor.alpha=2", "train.epochs=3", "serve", "serve.threads"]
    with pytest.raises(RecipeError) as error:
        settings_of(make_table().manifest, overrides)
    text = str(error.value)
    assert "serve.max_bach" in text and "did you mean 'max_batch'" in text
    assert "monitor.alpha" in text
    assert text.count("write it as serve.key=value") == 3


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("serve.max_batch=true", "serve.max_batch"),
        ("serve.max_batch='2'", "serve.max_batch"),
        ("serve.max_batch=2.5", "serve.max_batch"),
        ("serve.max_batch.rows=2", "is a single value"),
        ("monitor.sinks.2.level=error", "'2' is not an index up to 1"),
        ("monitor.sinks.0.levle=error", "did you mean 'level'"),
        ("monitor.detectors.1.permutations=5", "monitor.detectors.1.permutations"),
        ("monitor.detectors.0.name=univariat", "did you mean 'univariate'"),
        ("serve.threads=[", "--set serve.threads=["),
    ],
)
def test_overrides_are_as_strict_as_in_training(make_table: Any, override: str, words: str) -> None:
    with pytest.raises(RecipeError) as error:
        settings_of(make_table().manifest, [override])
    assert words in str(error.value)


def test_an_index_reaches_into_a_list_even_one_of_defaults(make_table: Any) -> None:
    made = make_table().manifest
    _, monitor = settings_of(made, ["monitor.sinks.0.level=error", "monitor.detectors.1.permutations=199"])
    assert monitor.sinks[0].params["level"] == "error"
    assert monitor.detectors[1].params["permutations"] == 199
    assert settings_of(made)[1].sinks[0].params != monitor.sinks[0].params, "the recipe itself is left alone"

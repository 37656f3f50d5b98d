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

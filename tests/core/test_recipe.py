"""Recipes: all errors at once, with line and nearest word; overrides; round trip; shipped schema kept fresh."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lamplighter.core import recipe as recipes
from lamplighter.core import schema, yaml
from lamplighter.core.errors import RecipeError
from lamplighter.core.recipe import Recipe

GOOD = """\
name: demo
data: {name: digits, batch_size: 64}
model: {name: mlp, hidden: [32]}
task: {name: classification}
train:
  epochs: 2
  optimizer: {name: adamw, lr: 3e-3}
"""


def test_defaults_are_filled_in_and_the_round_trip_is_exact(tmp_path: Path) -> None:
    recipe = Recipe.parse(GOOD)
    assert recipe.train.optimizer.params["lr"] == 0.003
    assert "weight_decay" in recipe.train.optimizer.params
    assert recipe.data.batch_size == 64
    recipe.save(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe


def test_all_errors_of_a_file_at_once_in_its_order() -> None:
    text = """\
name: demo
seed: no
data: {name: digts}
model: {name: mlp, hiden: [3]}
task: {name: classification, label_smoothing: 2}
train:
  epochs: "3"
  optimiser: {name: adamw}
  optimizer: {name: adamw, lr: -1}
  schedule: {}
  callbacks: [{name: early-stopping, patience: x}]
extra: 1
"""
    with pytest.raises(RecipeError) as caught:
        Recipe.from_document(yaml.parse(text, "r.yaml"), [])
    problems = caught.value.problems
    expected = [
        ("r.yaml:2: seed:", "valid integer"),
        ("r.yaml:3: data.name:", "did you mean 'digits'?"),
        ("r.yaml:4: model.hiden:", "unknown key (did you mean 'hidden'?)"),
        ("r.yaml:5: task.label_smoothing:", "less than"),
        ("r.yaml:7: train.epochs:", "valid integer"),
        ("r.yaml:8: train.optimiser:", "did you mean 'optimizer'?"),
        ("r.yaml:9: train.optimizer.lr:", "must be a number above 0"),
        ("r.yaml:10: train.schedule.name:", "is required"),
        ("r.yaml:11: train.callbacks.0.patience:", "valid integer"),
        ("r.yaml:12: extra:", "unknown key"),
    ]
    assert len(problems) == len(expected), problems
    for problem, (start, part) in zip(problems, expected, strict=True):
        assert problem.startswith(start), problem
        assert part in problem, problem


def test_missing_sections_are_named() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse("name: x")
    assert [p.split(": ")[1] for p in caught.value.problems] == ["data", "model", "task"]


@pytest.mark.parametrize("text", ["", "- a", "just text"])
def test_a_recipe_is_a_mapping(text: str) -> None:
    with pytest.raises(RecipeError, match=r"is required|a recipe is a mapping"):
        Recipe.parse(text)


def test_strict_types_text_is_never_a_number_or_a_switch() -> None:
    for override in ("train.epochs='3'", "seed=1.5", "bundle.calibrate=no", "threads=many"):
        with pytest.raises(RecipeError, match="--set: "):
            Recipe.parse(GOOD, set=[override])


def test_union_fields_report_one_path_without_tags() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse(GOOD, set=["threads=many"])
    assert all(problem.startswith("--set: threads: ") for problem in caught.value.problems)


def test_set_overrides_reach_every_depth() -> None:
    recipe = Recipe.parse(
        GOOD,
        set=["train.epochs=5", "train.callbacks=[{name: early-stopping}]", "train.callbacks.0.patience=9", "name=b"],
    )
    assert (recipe.train.epochs, recipe.train.callbacks[0].params["patience"], recipe.name) == (5, 9, "b")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs", "write it as key.key=value"),
        ("train.callbacks.3.patience=1", "--set"),
        ("name.first=x", "single value"),
        ("train.epoch=1", "did you mean 'epochs'?"),
        ("model.name=mpl", "did you mean 'mlp'?"),
        ("seed=[1", "not valid YAML"),
    ],
)
def test_bad_overrides_say_so(override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse(GOOD, set=[override])
    assert message in str(caught.value)
    assert "--set" in str(caught.value)


def test_set_appends_to_lists_that_are_short_or_absent() -> None:
    recipe = Recipe.parse(GOOD, set=["augment.0.name=random-flip", "augment.1={name: random-shift, pixels: 1}"])
    assert [augment.name for augment in recipe.augment] == ["random-flip", "random-shift"]


def test_frozen_and_with() -> None:
    recipe = Recipe.parse(GOOD)
    changed = recipe.with_(seed=7, model=recipe.model.replace(hidden=(8,)))
    assert (changed.seed, changed.model.params["hidden"], recipe.seed) == (7, [8], 0)
    with pytest.raises(RecipeError, match="seed"):
        recipe.with_(seed=-1)


def test_unknown_built_in_recipe_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'digits'"):
        Recipe.load("digit")


@pytest.mark.parametrize("name", sorted(recipes.builtin()))
def test_every_built_in_recipe_loads(name: str) -> None:
    assert Recipe.load(name).name == name


def test_the_shipped_json_schema_is_fresh() -> None:
    shipped = json.loads(schema.path().read_text(encoding="utf-8"))
    assert shipped == schema.build(), "run `make schema`"


def test_the_json_schema_describes_components_with_bounds_and_words() -> None:
    definitions = schema.build()["$defs"]
    lr = definitions["optimizer.adamw"]["properties"]["lr"]
    assert {"type": "number", "exclusiveMinimum": 0} in lr["anyOf"]
    assert lr["description"]
    assert definitions["optimizer.adamw"]["additionalProperties"] is False
    assert "in_features" not in definitions["model.mlp"]["properties"]


def test_a_component_within_a_component_is_checked_like_any_other() -> None:
    text = GOOD.replace("{name: classification}", "{name: classification, loss: {name: focal, %s}}")
    assert Recipe.parse(text % "gamma: 1").task.params["loss"] == {
        "name": "focal",
        "gamma": 1.0,
        "alpha": 1.0,
        "ignore_index": -1,
    }
    for wrong, words in (
        ("gama: 1", "recipe:4: task.loss.gama: unknown key (did you mean 'gamma'?)"),
        ("gamma: -1", "recipe:4: task.loss.gamma: Input should be greater than or equal to 0, not -1"),
    ):
        with pytest.raises(RecipeError) as caught:
            Recipe.parse(text % wrong)
        assert caught.value.problems == [words]
    for wrong, words in (
        ("loss: focal", 'task.loss: must be auto, or a mapping with a name and parameters, not "focal"'),
        ("loss: {name: focl}", "task.loss.name: unknown loss 'focl' (did you mean 'focal'?)"),
        ("loss: {gamma: 1}", "task.loss.name: is required"),
    ):
        with pytest.raises(RecipeError) as caught:
            Recipe.parse(GOOD.replace("{name: classification}", f"{{name: classification, {wrong}}}"))
        (problem,) = caught.value.problems
        assert problem.startswith(f"recipe:4: {words}")
    assert Recipe.parse(GOOD, set=["task.loss.name=focal"]).task.params["loss"]["gamma"] == 2.0


def test_the_json_schema_offers_components_within_components_and_no_dangling_reference() -> None:
    built = schema.build()
    definitions = built["$defs"]
    loss = definitions["task.classification"]["properties"]["loss"]
    assert {"$ref": "#/$defs/loss.focal"} in loss["anyOf"] and {"const": "auto", "type": "string"} in loss["anyOf"]
    assert loss["default"] == "auto"
    assert definitions["loss.focal"]["properties"]["gamma"]["minimum"] == 0
    text = json.dumps(built)
    assert set(re.findall(r'"\$ref": "#/\$defs/([^"]+)"', text)) <= set(definitions)
    assert "Component" not in {name.split(".")[-1] for name in re.findall(r'"#/\$defs/([^"]+)"', text)}

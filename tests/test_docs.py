"""The pages tell the truth: their recipes parse, their tables name every key, their commands exist."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from pydantic import BaseModel

from lamplighter.core import registry
from lamplighter.core.recipe import BundleOptions, Monitor, Recipe, Serve, Train, Transfer
from lamplighter.topics import TOPICS

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))


def _text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def _hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_whole_recipes_parse(page: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    whole = [block for block in blocks if re.search(r"^name:", block, re.MULTILINE)]
    for block in whole:
        Recipe.parse(block)
    assert whole or page.name != "recipes.md"


@pytest.mark.parametrize(
    ("section", "model"),
    [("train", Train), ("transfer", Transfer), ("bundle", BundleOptions), ("serve", Serve), ("monitor", Monitor)],
)
def test_every_key_of_a_recipe_is_explained_with_its_default(section: str, model: type[BaseModel]) -> None:
    part = _text("recipes.md").split(f"\n## {section}\n")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", part, re.MULTILINE))
    assert set(rows) == set(model.model_fields)
    for key, field in model.model_fields.items():
        if isinstance(field.default, str | int | float | bool | None):
            shown = field.default if isinstance(field.default, str) else json.dumps(field.default)
            assert rows[key].strip("`") == shown, key


def test_every_section_of_a_recipe_has_a_heading() -> None:
    headings = re.findall(r"^## (\w+)$", _text("recipes.md"), re.MULTILINE)
    simple = {"name", "seed", "device", "threads"}
    assert set(Recipe.model_fields) - simple == set(headings) & set(Recipe.model_fields)
    assert all(f"| `{key}` |" in _text("recipes.md") for key in simple)


def test_generated_parts_name_every_topic_and_component() -> None:
    hooks = _hooks()
    topics = hooks.on_page_markdown(_text("topics.md"))
    for topic in TOPICS:
        assert f"## {topic.number}. {topic.title}" in topics
        assert all(f"| {idea.name} |" in topics for idea in topic.ideas)
    components = hooks.on_page_markdown(_text("components.md"))
    for kind in registry.kinds():
        assert all(f"\n### {name}\n" in components for name in registry.names(kind))


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([\w-]+\.md)\)", page.read_text(encoding="utf-8")):
            assert (DOCS / target).is_file(), f"{page.name} links to {target}"


@pytest.mark.slow
def test_the_site_builds_and_fetches_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="the docs extra is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=DOCS.parent, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for page in tmp_path.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=[\"']?(?:https?:)?//[^\"' >]+", text)
        fetched += re.findall(r"<link[^>]*rel=[\"']?(?:stylesheet|preconnect)[^>]*(?:https?:)?//[^>]+", text)
        assert fetched == [], page.name


def test_the_navigation_names_every_page() -> None:
    settings = yaml.safe_load((DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(re.findall(r"[\w-]+\.md", str(settings["nav"]))) == [page.name for page in PAGES]
    assert settings["theme"]["font"] is False

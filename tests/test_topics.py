"""The map of topics is true: every pointer leads somewhere, and every row has the status it deserves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lamplighter.core.errors import LamplighterError
from lamplighter.topics import TOPICS, Idea, Topic
from lamplighter.topics.pointers import problems, resolve

ROOT = Path(__file__).parent.parent


def test_the_rows_are_numbered_1_to_48() -> None:
    assert [topic.number for topic in TOPICS] == list(range(1, 49))


def test_titles_and_lessons_are_unique_and_lessons_carry_their_number() -> None:
    assert len({topic.title for topic in TOPICS}) == len({topic.lesson for topic in TOPICS}) == 48
    for topic in TOPICS:
        assert Path(topic.lesson).name.startswith(f"{topic.number:02}_") and topic.lesson.startswith("lessons/")
        assert topic.lesson.endswith(".py")


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: f"{topic.number:02}")
def test_row_is_true(topic: Topic) -> None:
    assert problems(topic, ROOT) == []


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: f"{topic.number:02}")
def test_ideas_are_named_once_and_in_plain_ascii(topic: Topic) -> None:
    names = [idea.name for idea in topic.ideas]
    assert len(names) >= 5
    assert len(set(names)) == len(names)
    assert all(name.isascii() and name == name.strip() and len(name) < 90 for name in names)


def test_lessons_on_disk_belong_to_a_topic() -> None:
    known = {topic.lesson for topic in TOPICS}
    strays = [path.name for path in (ROOT / "lessons").glob("[0-9]*.py") if f"lessons/{path.name}" not in known]
    assert strays == []


# The checks themselves must be able to fail.

_FIRST = TOPICS[0]


@pytest.mark.parametrize(
    ("pointer", "complaint"),
    [
        ("lamplighter.core.registry:no_such", "has no 'no_such'"),
        ("lamplighter.core.registry", "name an attribute"),
        ("lamplighter.core.recipe:Recipe.no_such", "has no 'Recipe.no_such'"),
        ("model:no-such", "unknown model 'no-such'"),
        ("recipe:no-such", "no built-in recipe"),
        ("lessons/99_no_such.py", "no such file"),
        ("tests/test_topics.py::test_no_such", "no test of that name"),
        ("tests/test_topics.py::ROOT", "no test of that name"),
        ("os:path", "neither"),
        ("somewhere", "neither"),
        ("", "neither"),
    ],
)
def test_a_broken_pointer_is_found(pointer: str, complaint: str) -> None:
    with pytest.raises(LamplighterError, match=complaint):
        resolve(pointer, ROOT)
    for broken in (
        dataclasses.replace(_FIRST, ideas=(*_FIRST.ideas, Idea("broken", pointer))),
        dataclasses.replace(_FIRST, components=(pointer,)),
        dataclasses.replace(_FIRST, tests=(pointer,)),
    ):
        assert any(complaint in line and line.startswith("topic 1: ") for line in problems(broken, ROOT))


def test_a_module_that_does_not_exist_is_found() -> None:
    broken = dataclasses.replace(_FIRST, components=("lamplighter.no_such_module:Thing",))
    assert any("no_such_module" in line for line in problems(broken, ROOT))


def test_a_recipe_that_does_not_exist_is_found() -> None:
    broken = dataclasses.replace(_FIRST, recipe="no-such")
    assert any("no built-in recipe 'no-such'" in line for line in problems(broken, ROOT))


def test_pointers_of_every_form_resolve() -> None:
    resolve("lamplighter.core.recipe:Recipe.load", ROOT)
    resolve("model:mlp", ROOT)
    resolve("tests/test_topics.py", ROOT)
    resolve("tests/test_topics.py::test_row_is_true", ROOT)


def test_a_landed_row_needs_every_idea_and_its_lesson(tmp_path: Path) -> None:
    done = Idea("done", "lamplighter.core.recipe:Recipe")
    row = Topic(1, "Title", "lessons/01_title.py", (done,), status="landed")
    assert problems(row, tmp_path) == ["topic 1: landed, but without: lessons/01_title.py"]
    (tmp_path / "lessons").mkdir()
    (tmp_path / "lessons/01_title.py").touch()
    assert problems(row, tmp_path) == []
    gap = dataclasses.replace(row, ideas=(done, Idea("gap")))
    assert problems(gap, tmp_path) == ["topic 1: landed, but without: gap"]


def test_a_planned_row_without_gaps_must_be_marked_landed(tmp_path: Path) -> None:
    (tmp_path / "lessons").mkdir()
    (tmp_path / "lessons/01_title.py").touch()
    row = Topic(1, "Title", "lessons/01_title.py", (Idea("done", "lamplighter.core.recipe:Recipe"),))
    assert problems(row, tmp_path) == ["topic 1: planned, but nothing is missing: mark it landed"]


def test_status_of_an_idea_follows_its_pointer() -> None:
    row = Topic(1, "Title", "lessons/01_title.py", (Idea("a"), Idea("b", "model:mlp")))
    assert [idea.status for idea in row.ideas] == ["planned", "landed"]
    assert row.landed_ideas == 1

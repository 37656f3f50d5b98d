"""Which directory a run gets, and when one that exists may be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamplighter.core.errors import RunError
from lamplighter.core.recipe import Recipe
from lamplighter.train.run_folder import REQUESTED, differences, discard_replaced, open_folder, withdrawn_unless_begun

RECIPE = Recipe.parse("{name: demo, data: {name: digits}, model: {name: mlp}, task: {name: classification}}")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_next_free_number() -> None:
    for number in ("1", "2", "3"):
        path, resolved = open_folder(RECIPE, None, False, False)
        assert path == Path("runs/demo") / number
        assert resolved is None
        assert Recipe.load(path / REQUESTED) == RECIPE
    Path("runs/demo/17").mkdir()
    Path("runs/demo/notes").mkdir()
    assert open_folder(RECIPE, None, False, False)[0] == Path("runs/demo/18")


def test_resume_without_a_directory_takes_the_newest() -> None:
    for _ in range(10):
        open_folder(RECIPE, None, False, False)
    assert open_folder(RECIPE, None, True, False)[0] == Path("runs/demo/10")


def test_nothing_to_resume_is_an_error() -> None:
    with pytest.raises(RunError, match="no run to resume"):
        open_folder(RECIPE, None, True, False)


def test_a_directory_in_the_way_is_refused_and_left_alone() -> None:
    Path("out").mkdir()
    Path("out/letter.txt").write_text("mine")
    with pytest.raises(RunError, match="add --resume to go on, --force to start over"):
        open_folder(RECIPE, Path("out"), False, False)
    for resume, force in ((True, False), (False, True)):
        with pytest.raises(RunError, match="not empty, and not a run"):
            open_folder(RECIPE, Path("out"), resume, force)
    assert Path("out/letter.txt").read_text() == "mine"


def test_an_empty_or_missing_directory_is_taken() -> None:
    Path("empty").mkdir()
    for name in ("empty", "deep/missing"):
        for resume in (False, True):
            path, resolved = open_folder(RECIPE, Path(f"{name}{resume}") if resume else Path(name), resume, False)
            assert (path / REQUESTED).is_file()
            assert resolved is None


def test_a_file_is_no_directory() -> None:
    Path("out").write_text("x")
    with pytest.raises(RunError, match="this is a file"):
        open_folder(RECIPE, Path("out"), False, False)


def finished_run(folder: Path) -> None:
    open_folder(RECIPE, folder, False, False)
    (folder / "checkpoints" / "last").mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("{}\n")
    RECIPE.save(folder / "recipe.yaml")


def test_force_makes_room_and_forgets_the_old_run_once_training_begins() -> None:
    out = Path("out")
    finished_run(out)
    open_folder(RECIPE, out, False, True)
    assert [entry.name for entry in out.iterdir()] == [REQUESTED]
    with withdrawn_unless_begun(out):
        discard_replaced(out)
    assert [entry.name for entry in Path().iterdir()] == ["out"]


def test_force_gives_the_old_run_back_when_training_cannot_begin() -> None:
    out = Path("out")
    finished_run(out)
    before = sorted(str(path) for path in out.rglob("*"))
    open_folder(RECIPE.with_(seed=5), out, False, True)
    with pytest.raises(ValueError, match="typo"), withdrawn_unless_begun(out):
        raise ValueError("typo in data.path")
    assert sorted(str(path) for path in out.rglob("*")) == before
    assert Recipe.load(out / REQUESTED).seed == 0


@pytest.mark.parametrize("present", ["notes.md", "houses.csv", "src"])
def test_force_never_removes_what_is_no_part_of_a_run(present: str) -> None:
    out = Path("out")
    finished_run(out)
    (out / present).write_text("mine")
    with pytest.raises(RunError, match=f"no part of a run \\({present}\\)"):
        open_folder(RECIPE, out, False, True)
    assert (out / present).read_text() == "mine"
    assert (out / "checkpoints").is_dir()


def test_force_refuses_a_project_folder_with_a_recipe_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("project").mkdir()
    RECIPE.save(Path("project/recipe.yaml"))
    with pytest.raises(RunError, match="will not remove it"):
        open_folder(RECIPE, Path("project"), False, True)
    finished_run(Path("run"))
    monkeypatch.chdir("run")
    with pytest.raises(RunError, match="the folder you are in"):
        open_folder(RECIPE, Path(), False, True)
    assert Path("recipe.yaml").is_file()


def test_resume_and_force_exclude_each_other() -> None:
    with pytest.raises(RunError, match="give one of them"):
        open_folder(RECIPE, Path("out"), True, True)


def test_resume_gives_the_resolved_recipe_to_either_recipe() -> None:
    open_folder(RECIPE, Path("out"), False, False)
    resolved = RECIPE.with_(threads=1, device="cpu")
    resolved.save(Path("out/recipe.yaml"))
    for asked in (RECIPE, resolved):
        assert open_folder(asked, Path("out"), True, False) == (Path("out"), resolved)


def test_resume_before_anything_was_decided_starts_over() -> None:
    open_folder(RECIPE, Path("out"), False, False)
    assert open_folder(RECIPE, Path("out"), True, False) == (Path("out"), None)


def test_resume_with_another_recipe_shows_the_difference() -> None:
    open_folder(RECIPE, Path("out"), False, False)
    RECIPE.with_(threads=1, device="cpu").save(Path("out/recipe.yaml"))
    other = RECIPE.with_(seed=3, train={**RECIPE.train.model_dump(), "epochs": 99})
    with pytest.raises(RunError) as caught:
        open_folder(other, Path("out"), True, False)
    lines = str(caught.value).splitlines()
    assert "was made by another recipe" in lines[0] and "--resume" in lines[0]
    assert sorted(lines[1:]) == ["  seed: 3, the run has 0", "  train.epochs: 99, the run has 10"]


def test_differences_name_added_and_missing_keys() -> None:
    flip = RECIPE.with_(augment=[{"name": "random-flip"}])
    assert differences(flip, RECIPE) == [
        "augment: nothing, the run has []",
        'augment.0.name: "random-flip", the run has nothing',
        "augment.0.p: 0.5, the run has nothing",
    ]
    assert differences(RECIPE, RECIPE) == []


def test_nothing_stays_behind_when_training_cannot_begin(tmp_path: Path) -> None:
    fresh, kept, begun = tmp_path / "fresh", tmp_path / "kept", tmp_path / "begun"
    for folder in (fresh, kept, begun):
        folder.mkdir()
        (folder / "requested.yaml").write_text("name: x")
    (kept / "notes.txt").write_text("mine")
    (begun / "recipe.yaml").write_text("name: x")
    for folder in (fresh, kept, begun):
        with pytest.raises(ValueError, match="broken data"), withdrawn_unless_begun(folder):
            raise ValueError("broken data")
    assert not fresh.exists()
    assert [path.name for path in kept.iterdir()] == ["notes.txt"]
    assert {path.name for path in begun.iterdir()} == {"recipe.yaml", "requested.yaml"}

"""``lamp doctor RECIPE`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lamplighter.__main__ import main

SMALL = ["--set", "model={name: mlp, hidden: [32]}", "--set", "augment=[]", "--set", "train.precision=fp32"]
SMALL += ["--set", "threads=1", "--quiet"]


def lamp(*words: str) -> int:
    """Run a command in this process; return its exit code."""
    try:
        main(list(words))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_a_sound_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert lamp("doctor", "digits", *SMALL) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9 and all(line.startswith("ok ") for line in lines[:-1])
    assert lines[-1] == "Page: doctor-digits/doctor.html"
    assert [path.name for path in (tmp_path / "doctor-digits").iterdir()] == ["doctor.html"]


def test_something_wrong_is_exit_code_1_and_json_says_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["a,y", *(f"{i * 0.37 % 1:.4f},{'xy'[(i * i // 3) % 2]}" for i in range(300))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"name: noise\ndata: {{name: table, path: {tmp_path / 't.csv'}, target: y}}\nmodel: {{name: mlp}}\n"
        "task: {name: classification}\n"
    )
    words = ["doctor", str(recipe), "--out", str(tmp_path / "out"), "--json", "--rates", "0.1,0.001", *SMALL[4:]]
    assert lamp(*words) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False and found["checks"][0]["level"] == "wrong"
    assert [rate["lr"] for rate in found["rates"]["rates"]] == [0.1, 0.001]
    assert (tmp_path / "out" / "doctor.html").is_file()


@pytest.mark.parametrize(
    "words, said",
    [
        (["doctor", "digits", "--rates", "fast"], "--rates fast: learning rates above 0"),
        (["doctor", "digits", "--rates", "0.1,-1"], "--rates 0.1,-1"),
        (["doctor", "--out", "x"], "belong to a recipe"),
        (["doctor", "nonesuch"], "no such file, and no built-in recipe"),
    ],
)
def test_mistakes_are_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert lamp(*words) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_without_a_recipe_it_looks_at_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert lamp("doctor", "--json") == 0
    assert {"python", "machine", "extras", "devices", "data"} <= set(json.loads(capsys.readouterr().out))

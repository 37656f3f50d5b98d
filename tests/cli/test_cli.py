"""The command line as a user meets it: what it prints, what it writes, how it fails."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lamplighter.__main__ import main
from lamplighter.bundle.runtime import load_bundle
from lamplighter.core.files import sha256
from lamplighter.core.recipe import Recipe
from lamplighter.run import Run
from lamplighter.serving.app import create_app

SMALL = ["--set", "train.epochs=2", "--set", "train.precision=fp32", "--set", "threads=1", "--quiet"]


def lamp(*words: str) -> int:
    """Run a command in this process; return its exit code."""
    try:
        main(list(words))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `digits`, two epochs, exported."""
    path = tmp_path_factory.mktemp("cli") / "digits"
    assert lamp("train", "digits", "--out", str(path), *SMALL) == 0
    assert lamp("export", str(path)) == 0
    return path


def fails(capsys: pytest.CaptureFixture[str], *words: str, code: int = 2) -> list[str]:
    """Run a command that must fail with ``code``; return its error lines."""
    capsys.readouterr()
    assert lamp(*words) == code
    text = capsys.readouterr().err
    assert "Traceback" not in text
    lines = [line for line in text.splitlines() if line.startswith("error: ")]
    assert lines, text
    return lines


def test_a_run_has_everything(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert {"recipe.yaml", "metrics.jsonl", "checkpoints", "report.html", "bundle", "split.npz", "scores.json"} <= names
    resolved = Recipe.load(run / "recipe.yaml")
    assert resolved.device in ("cpu", "mps") or resolved.device.startswith("cuda")
    assert resolved.train.precision == "fp32"
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert sum(event.get("event") == "test_opened" for event in events) == 1


def test_evaluate_prints_scores_with_intervals(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lamp("evaluate", str(run), "--json") == 0
    of_run = json.loads(capsys.readouterr().out)
    assert lamp("evaluate", str(run / "bundle"), "--json") == 0
    of_bundle = json.loads(capsys.readouterr().out)
    assert of_run == of_bundle
    accuracy = of_run["accuracy"]
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    assert accuracy["n"] > 100


def test_evaluate_says_how_often_the_test_split_was_opened(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    copy = shutil.copytree(run, tmp_path / "run")
    capsys.readouterr()
    assert lamp("evaluate", str(copy)) == 0
    assert "Test scores (the test split was opened once):" in capsys.readouterr().out
    Run(copy).evaluate("test", again=True)
    assert lamp("evaluate", str(copy)) == 0
    assert "Test scores (the test split was opened 2 times):" in capsys.readouterr().out


def test_export_under_another_name_and_version(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    copy = shutil.copytree(run, tmp_path / "run")
    capsys.readouterr()
    assert lamp("export", str(copy), "--name", "digits-b", "--version", "2.1") == 0
    assert f"Bundle: {copy / 'bundle'} (digits-b, version 2.1)" in capsys.readouterr().out
    manifest = load_bundle(copy / "bundle").manifest
    assert (manifest.name, manifest.version) == ("digits-b", "2.1")
    assert "'a b'" in fails(capsys, "export", str(copy), "--name", "a b")[0]
    assert "version '1/2'" in fails(capsys, "export", str(copy), "--version", "1/2")[0]
    assert load_bundle(copy / "bundle").manifest.name == "digits-b"
    app = create_app([load_bundle(run / "bundle"), load_bundle(copy / "bundle")], monitoring=False)
    assert [model.name for model in app.models] == ["digits", "digits-b"]
    asyncio.run(app.stop())


def test_evaluate_a_bundle_on_labelled_images(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    for i in range(200):
        folder = tmp_path / "images" / str(digits.target[i])
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.round(digits.images[i] * 255 / 16).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    capsys.readouterr()
    assert lamp("evaluate", str(run / "bundle"), "--data", str(tmp_path / "images"), "--json", "--quiet") == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["accuracy"]["n"] == 200
    assert scores["accuracy"]["value"] > 0.6
    (tmp_path / "images" / "eleven").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "images" / "eleven" / "x.png")
    assert (
        "label 'eleven' is unknown"
        in fails(capsys, "evaluate", str(run / "bundle"), "--data", str(tmp_path / "images"), "--quiet")[0]
    )


@pytest.mark.parametrize("verb", ["recipes", "models", "topics", "doctor"])
def test_listings_have_json(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert lamp(verb) == 0
    assert capsys.readouterr().out.strip()
    assert lamp(verb, "--json") == 0
    assert json.loads(capsys.readouterr().out)


def test_one_topic_and_a_wrong_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert lamp("topics", "1") == 0
    assert "1. " in capsys.readouterr().out
    assert "there is no topic 49" in fails(capsys, "topics", "49")[0]


def test_schema_is_json_and_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert lamp("schema") == 0
    shipped = json.loads(capsys.readouterr().out)
    assert lamp("schema", "--fresh") == 0
    assert json.loads(capsys.readouterr().out) == shipped


def test_new_then_train_then_predict_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sklearn.datasets import load_wine

    wine = load_wine()
    names = [name.replace("/", "_") for name in wine.feature_names]
    kinds = ["barolo", "grignolino", "barbera"]
    with (tmp_path / "wine.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "kind"])
        writer.writerows([*map(float, row), kinds[label]] for row, label in zip(wine.data, wine.target, strict=True))
    monkeypatch.chdir(tmp_path)
    assert lamp("new", "wine.csv", "--target", "kind") == 0
    assert lamp("train", "wine.yaml", "--out", "run", "--set", "train.precision=fp32", "--quiet") == 0
    assert lamp("export", "run", "--zip", "wine.zip") == 0
    capsys.readouterr()
    assert lamp("predict", "wine.zip", "wine.csv", "--out", "answers.csv", "--quiet") == 0
    with (tmp_path / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 178
    assert np.mean([row["label"] == row["kind"] for row in rows]) > 0.9
    assert lamp("evaluate", "wine.zip", "--data", "wine.csv", "--json", "--quiet") == 0
    assert fails(capsys, "new", "wine.csv", "--target", "kind")[0].startswith("error: wine.yaml exists")
    assert "did you mean 'kind'" in fails(capsys, "new", "wine.csv", "--target", "kinds", "--out", "x.yaml")[0]


def test_bad_recipes_give_one_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("name: x\ndata: {name: digits}\nmodel: {name: mlp, hiden: [3]}\ntask: {name: clasification}\n")
    lines = fails(capsys, "train", str(path))
    assert len(lines) == 2
    assert lines[0].startswith(f"error: {path}:3: model.hiden: unknown key (did you mean 'hidden'?)")
    assert lines[1].startswith(
        f"error: {path}:4: task.name: unknown task 'clasification' (did you mean 'classification'?)"
    )
    assert "no such file" in fails(capsys, "train", str(tmp_path / "none.yaml"))[0]


def test_existing_runs_are_not_overwritten(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sha256(run / "metrics.jsonl")
    line = fails(capsys, "train", "digits", "--out", str(run), *SMALL)[0]
    assert "--resume" in line
    assert "--force" in line
    assert sha256(run / "metrics.jsonl") == before


def test_resume_with_another_recipe_shows_the_difference(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = fails(capsys, "train", "digits", "--out", str(run), "--resume", *SMALL, "--set", "seed=5")
    assert any("seed" in line for line in lines)


def test_data_that_cannot_be_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def train(text: str) -> str:
        (tmp_path / "t.csv").write_text(text)
        recipe = tmp_path / "t.yaml"
        recipe.write_text(
            f"name: t\ndata: {{name: table, path: {tmp_path / 't.csv'}, target: y}}\n"
            "model: {name: mlp}\ntask: {name: classification}\n"
        )
        out = tmp_path / "out"
        line = fails(capsys, "train", str(recipe), "--out", str(out), "--quiet")[0]
        assert not out.exists()
        return line

    body = "".join(f"{i % 7}.5,{i % 3},{'ab'[i % 2]}\n" for i in range(60))
    assert "t.csv" in train("")
    assert "no rows" in train("a,b,y\n")
    assert "takes at least two classes" in train("a,b,y\n" + body.replace("b\n", "a\n"))
    assert ":12" in train("a,b,y\n" + body[: 10 * 8] + "1,2,3,4\n" + body[10 * 8 :])
    assert "line" in train("a,b,y\n" + body + "1.5,2,\n") or ":62" in train("a,b,y\n" + body + "1.5,2,\n")
    assert (
        "no such file"
        in fails(capsys, "train", str(tmp_path / "t.yaml"), "--set", f"data.path={tmp_path / 'gone.csv'}", "--quiet")[0]
    )


def test_a_corrupt_image_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label in ("a", "b"):
        for i in range(20):
            (tmp_path / "images" / label).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 12), (i * 10, 0, 0)).save(tmp_path / "images" / label / f"{i}.png")
    broken = tmp_path / "images" / "b" / "7.png"
    broken.write_bytes(broken.read_bytes()[:40])
    assert lamp("new", str(tmp_path / "images"), "--out", str(tmp_path / "i.yaml")) in (0, 2)
    (tmp_path / "i.yaml").write_text(
        f"name: i\ndata: {{name: image-folder, path: {tmp_path / 'images'}}}\n"
        "model: {name: cnn, width: 8}\ntask: {name: classification}\n"
    )
    text = "\n".join(fails(capsys, "train", str(tmp_path / "i.yaml"), "--out", str(tmp_path / "o"), "--quiet"))
    assert "7.png" in text


def test_a_damaged_bundle_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    copy = tmp_path / "bundle"
    shutil.copytree(run / "bundle", copy)
    with (copy / "model.onnx").open("r+b") as file:
        file.seek(200)
        file.write(b"\x00\xff")
    for words in (["serve", str(copy)], ["predict", str(copy), "x.csv", "--out", str(tmp_path / "o.csv")]):
        assert "model.onnx" in fails(capsys, *words)[0]
    assert "bundle" in fails(capsys, "serve", str(tmp_path))[0]
    assert not (tmp_path / "o.csv").exists()


def test_a_port_in_use_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in fails(capsys, "serve", str(run / "bundle"), "--port", str(port))[0]
        assert str(port) in fails(capsys, "up", "digits", "--port", str(port), "--quiet")[0]


def test_unknown_import(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such module" in fails(capsys, "train", "digits", "--import", "no_such_module_here")[0]


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_training_checkpoints_and_prints_the_resume_command(
    tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    out = tmp_path / "run"
    words = ["train", "digits", "--out", str(out), "--set", "train.epochs=400", "--set", "train.precision=fp32"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lamplighter", *words, "--set", "threads=1", "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    metrics = out / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text().count('"epoch"') >= 2):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert "--resume" in err
    assert str(out) in err
    assert (out / "checkpoints" / "last").is_dir()


def test_ctrl_c_while_loading_is_one_line(tmp_path: Path) -> None:
    code = (
        "import os, signal, time\n"
        "from lamplighter.__main__ import main\n"
        "from lamplighter.core import recipe\n"
        "recipe.builtin = lambda: (os.kill(os.getpid(), signal.SIGINT), time.sleep(30))\n"
        "main(['recipes'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == "error: stopped"
    assert "Traceback" not in done.stderr


def test_errors_of_the_file_system_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{i / 7:.3f},{'ab'[i % 2]}\n" for i in range(40)))
    out = tmp_path / "none" / "r.yaml"
    line = fails(capsys, "new", str(tmp_path / "t.csv"), "--target", "y", "--out", str(out))[0]
    assert "No such file or directory" in line
    line = fails(capsys, "train", "digits", "--out", str(tmp_path / "t.csv" / "x"))[0]
    assert "Not a directory" in line


def test_a_zip_never_replaces_another_kind_of_file(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("name: mine")
    assert "must end in .zip" in fails(capsys, "export", str(run), "--zip", str(recipe))[0]
    assert recipe.read_text() == "name: mine"

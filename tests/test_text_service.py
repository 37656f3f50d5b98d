"""Texts from a file to a monitored service: train, export, predict, evaluate, serve, feed back, and watch."""

from __future__ import annotations

import concurrent.futures
import csv
import json
import random
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamplighter.bundle.runtime import load_bundle
from lamplighter.bundle.runtime.evaluation import evaluate_file, judge_file
from lamplighter.bundle.runtime.files import predict_file
from lamplighter.client.http import Client, ClientError
from lamplighter.core.errors import DataError
from lamplighter.core.recipe import Recipe
from lamplighter.run import Run, fit
from lamplighter.serving.server import start

MODEL = {"name": "lstm", "embedding_dim": 16, "hidden_size": 16, "bidirectional": True}
TRAIN = {"epochs": 6, "precision": "fp32", "optimizer": {"name": "adamw", "lr": 0.03}}
REST = ["the", "a", "film", "plot", "was", "is", "not", "very", "really", "actor", "scene", "and", "of", "it", "in"]
MOODS = {"neg": ["bad", "awful", "poor", "dull", "tedious"], "pos": ["good", "lovely", "great", "superb", "fine"]}


def recipe(name: str, data: dict[str, Any], task: dict[str, Any]) -> Recipe:
    return Recipe.parse(
        json.dumps(
            {"name": name, "device": "cpu", "threads": 1, "data": data, "model": MODEL, "task": task, "train": TRAIN}
        )
    )


def opinions(n: int, seed: int = 0) -> list[tuple[str, str]]:
    """Texts of 4 to 30 words, one of which says it."""
    rng = random.Random(seed)
    found = []
    for _ in range(n):
        label = rng.choice(["neg", "pos"])
        words = [rng.choice(REST) for _ in range(rng.randint(3, 29))]
        words.insert(rng.randrange(len(words)), rng.choice(MOODS[label]))
        found.append((" ".join(words), label))
    return found


def names(n: int, seed: int = 0) -> str:
    """Sentences in which words behind "Mr" are people."""
    rng = random.Random(seed)
    lines = []
    for _ in range(n):
        words = [(rng.choice(REST), "O") for _ in range(rng.randint(2, 12))]
        place = rng.randrange(len(words))
        people = [
            ("Mr", "O"),
            (rng.choice(["Ada", "Kurt", "Emmy"]), "B-PER"),
            (rng.choice(["Noether", "Byron"]), "I-PER"),
        ]
        lines.append("\n".join(f"{word}\t{tag}" for word, tag in [*words[:place], *people, *words[place:]]))
    return "\n\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def opinion_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("opinions")
    with (folder / "opinions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *opinions(240)])
    data = {"name": "text-table", "path": str(folder / "opinions.csv"), "max_length": 40, "batch_size": 16}
    run = fit(recipe("opinions", data, {"name": "text-classification"}), folder / "run", progress=False)
    run.export()
    return run


@pytest.fixture(scope="module")
def name_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("names")
    (folder / "names.conll").write_text(names(150), encoding="utf-8")
    data = {"name": "conll", "path": str(folder / "names.conll"), "vocab_size": 90, "batch_size": 16}
    run = fit(recipe("names", data, {"name": "tagging", "crf": True}), folder / "run", progress=False)
    run.export()
    return run


def test_reports_and_scores(opinion_run: Run, name_run: Run) -> None:
    assert opinion_run.metrics["accuracy"].value > 0.8
    assert name_run.metrics["entity_f1"].value > 0.8
    page = (opinion_run.path / "report.html").read_text(encoding="utf-8")
    assert "Confusions" in page
    page = (name_run.path / "report.html").read_text(encoding="utf-8")
    assert "Each type of entity" in page and "F1 of entities" in page and "PER" in page


def test_the_bundle_answers_as_the_run(opinion_run: Run, name_run: Run) -> None:
    """What was judged is what is served: the same test rows, with the same scores."""
    for run in (opinion_run, name_run):
        bundle, source = load_bundle(run.path / "bundle"), run.source()
        raw = source.raw("test", np.arange(len(source.split("test"))))
        answers = bundle.predict(raw)
        _, outputs, _ = run.answers("test", again=True)
        if "logits" in outputs:
            wanted = [source.signature.labels[k] for k in outputs["logits"].argmax(axis=1)]
            assert [answer["label"] for answer in answers] == wanted
        else:
            wanted = [[source.signature.labels[k] for k in own[own >= 0]] for own in outputs["predicted"]]
            assert [answer["tags"] for answer in answers] == wanted
    assert len(bundle.manifest.output.settings["crf"]["start"]) == 3  # type: ignore[arg-type, index, call-overload]
    assert bundle.manifest.assets == ("tokenizer.json",)


def test_opinions_served(opinion_run: Run, tmp_path: Path) -> None:
    path = opinion_run.path / "bundle"
    texts = [text for text, _ in opinions(30, seed=7)]
    alone = [load_bundle(path).predict([text])[0] for text in texts]
    with start(path, store_url=f"sqlite:///{tmp_path / 'monitor.sqlite'}") as server, Client(server.url) as client:
        with concurrent.futures.ThreadPoolExecutor(12) as pool:  # rows of different lengths meet in one batch
            got = list(pool.map(lambda text: client.predict_texts([text])[0], texts))
        for answer, own in zip(got, alone):
            assert answer["probabilities"] == pytest.approx(own["probabilities"], abs=1e-5)
        together = client.predict([{"text": text} for text in texts])
        assert [answer["label"] for answer in together] == [own["label"] for own in alone]
        request = urllib.request.Request(
            f"{server.url}/v1/models/opinions/predict", texts[0].encode(), {"Content-Type": "text/plain"}
        )
        (plain,) = json.loads(urllib.request.urlopen(request).read())["predictions"]
        assert plain["probabilities"] == pytest.approx(alone[0]["probabilities"], abs=1e-5)
        assert client.feedback(got[0]["id"], "pos") == "joined"
        for row, message in (({"text": " "}, "the text is empty"), ({"text": 4}, "expected a text, not 4")):
            with pytest.raises(ClientError, match=message) as error:
                client.predict([{"text": "fine"}, row])
            assert (error.value.status, error.value.row, error.value.field) == (422, 1, "text")
        request.data = b"caf\xe9"
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(request)
        monitor = server.app.models[0].monitor
        assert monitor is not None and monitor.flush()
        assert monitor.totals()["predictions"] == 61
        names = [feature.name for feature in server.app.models[0].manifest.features]
        assert names[:2] == ["tokens", "characters"] and "unknown_tokens" in names and "embedding[0]" in names
        document = json.loads(urllib.request.urlopen(f"{server.url}/openapi.json").read())
        body = document["paths"]["/v1/models/opinions/predict"]["post"]["requestBody"]["content"]
        assert "text/plain" in body


def test_names_served(name_run: Run, tmp_path: Path) -> None:
    path = name_run.path / "bundle"
    rows = [["the", "Mr", "Ada", "Noether", "was"], ["a"], ["film", "of", "Mr", "Kurt", "Byron"] * 3]
    alone = [load_bundle(path).predict([row])[0] for row in rows]
    assert [entity["text"] for entity in alone[0]["entities"]] == ["Ada Noether"]
    with start(path, store_url=f"sqlite:///{tmp_path / 'monitor.sqlite'}") as server, Client(server.url) as client:
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            got = list(pool.map(lambda row: client.predict_texts([row])[0], rows))
        together = client.predict([{"words": row} for row in rows])
        for answer, other, own in zip(got, together, alone):
            assert answer["tags"] == other["tags"] == own["tags"] and answer["words"] == own["words"]
            assert answer["confidences"] == pytest.approx(own["confidences"], abs=1e-4)
        split = client.predict([{"words": "the Mr Ada Noether was"}])[0]
        assert split["entities"][0]["text"] == "Ada Noether"
        assert client.feedback(got[0]["id"], alone[0]["tags"]) == "joined"
        with pytest.raises(ClientError, match="knows the tags O, B-PER, I-PER"):
            client.feedback(got[0]["id"], ["O", "B-CITY"])
        with pytest.raises(ClientError, match="2 tags for a sentence of 5 words"):
            client.feedback(got[0]["id"], ["O", "O"])
        monitor = server.app.models[0].monitor
        assert monitor is not None and monitor.flush()
        assert monitor.totals()["predictions"] == 7
        snapshot = json.loads(urllib.request.urlopen(f"{server.url}/models/names/monitor.json").read())
        assert snapshot["performance"]["overall"]["value"] == 1.0 and snapshot["performance"]["overall"]["n"] == 1


def test_files_predicted_and_evaluated(opinion_run: Run, name_run: Run, tmp_path: Path) -> None:
    bundle = load_bundle(opinion_run.path / "bundle")
    rows = opinions(40, seed=5)
    (tmp_path / "lines.txt").write_text("\n".join(text for text, _ in rows) + "\n\n", encoding="utf-8")
    (tmp_path / "lines.jsonl").write_text(
        "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
    )
    with (tmp_path / "lines.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("label", "text"), *((label, text) for text, label in rows)])
    wanted = [answer["label"] for answer in bundle.predict([text for text, _ in rows])]
    for name in ("lines.txt", "lines.jsonl", "lines.csv"):
        assert predict_file(bundle, tmp_path / name, tmp_path / "out.jsonl", progress=False) == 40
        lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert [line.get("predicted_label", line["label"]) for line in lines] == wanted
        assert [line["text"] for line in lines] == [text for text, _ in rows]
    right = np.mean([own == label for own, (_, label) in zip(wanted, rows)])
    for name in ("lines.jsonl", "lines.csv"):
        assert evaluate_file(bundle, tmp_path / name, progress=False)["accuracy"].value == pytest.approx(right)

    tagger = load_bundle(name_run.path / "bundle")
    (tmp_path / "new.conll").write_text(names(30, seed=3), encoding="utf-8")
    scores = evaluate_file(tagger, tmp_path / "new.conll", progress=False)
    assert scores["entity_f1"].value > 0.8 and scores["entity_f1"].n == 30 and "loss" not in scores
    judged = judge_file(tagger, tmp_path / "new.conll", progress=False).outputs
    assert scores["token_accuracy"].value == pytest.approx(
        (judged["predicted"] == judged["y"])[judged["y"] >= 0].mean()
    )
    (tmp_path / "odd.conll").write_text("Ada\tB-PER\nRome\tB-LOC\n")
    with pytest.raises(DataError, match=r"odd.conll:2: the tag 'B-LOC' is unknown to the model"):
        evaluate_file(tagger, tmp_path / "odd.conll", progress=False)
    (tmp_path / "words.jsonl").write_text(json.dumps({"words": ["Mr", "Ada", "Byron"]}) + "\n")
    predict_file(tagger, tmp_path / "words.jsonl", tmp_path / "out.csv", progress=False)
    (line,) = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())
    assert line["tags"] == "O B-PER I-PER" and line["entities"] == "Ada Byron (PER)"


def test_metrics_by_name(name_run: Run, opinion_run: Run) -> None:
    """``lamp evaluate --metric`` and ``train.metrics`` reach tags and texts."""
    from typer.testing import CliRunner

    from lamplighter.cli.app import app

    done = CliRunner().invoke(
        app,
        [
            "evaluate",
            str(name_run.path),
            "--metric",
            "{name: entity_f1, scheme: bio}",
            "--metric",
            "accuracy",
            "--json",
        ],
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["entity_f1"]["value"] > 0.8
    done = CliRunner().invoke(app, ["evaluate", str(opinion_run.path), "--metric", "accuracy", "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["accuracy"]["n"] == 24

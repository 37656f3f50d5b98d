"""Language models from data to a monitored service: train, export, predict, serve, feed back, and watch."""

from __future__ import annotations

import csv
import json
import pydoc_data.topics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from lamplighter.bundle.runtime import load_bundle
from lamplighter.bundle.runtime.evaluation import evaluate_file, judge_file
from lamplighter.bundle.runtime.files import predict_file
from lamplighter.checkup.examine import examine
from lamplighter.cli.app import app
from lamplighter.client.http import Client, ClientError
from lamplighter.core.errors import DataError
from lamplighter.core.recipe import Recipe
from lamplighter.run import Run, fit
from lamplighter.serving.server import start

_GPT2 = {"name": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 16}
_BERT = {
    "name": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 16,
}


def _fit(folder: Path, name: str, data: dict[str, Any], model: dict[str, Any], **task: Any) -> Run:
    train = {"epochs": 1, "max_steps": 20, "precision": "fp32", "optimizer": {"name": "adamw", "lr": 0.01}}
    recipe = {"name": name, "device": "cpu", "threads": 1, "data": {"batch_size": 16, **data}, "model": model}
    run = fit(
        Recipe.parse(json.dumps({**recipe, "task": {"name": name, **task}, "train": train})),
        folder / "run",
        progress=False,
    )
    run.export()
    return run


def _texts(folder: Path) -> dict[str, Any]:
    """Some of the language reference that every Python has, in documents of 500 characters."""
    (folder / "texts").mkdir()
    text = pydoc_data.topics.topics["objects"]
    for number in range(len(text) // 500):
        (folder / "texts" / f"{number:02}.txt").write_text(text[number * 500 :][:500], encoding="utf-8")
    return {"name": "text-files", "path": str(folder / "texts"), "length": 16, "split_by": "document"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    made = {}
    folder = tmp_path_factory.mktemp("language")
    data = _texts(folder)
    made["language-model"] = _fit(folder / "lm", "language-model", {**data, "vocab_size": 300}, _GPT2, max_new_tokens=4)
    own = {"tokenizer": "wordpiece", "vocab_size": 300, "around": "both"}
    made["masked-lm"] = _fit(folder / "mlm", "masked-lm", {**data, **own}, _BERT)
    pairs = {"name": "reversal", "rows": 120, "shortest": 2, "longest": 4, "symbols": 4}
    made["seq2seq"] = _fit(
        folder / "s2s", "seq2seq", pairs, {"name": "seq2seq", "embedding_dim": 16, "hidden_size": 16}
    )
    return made


def test_reports_compare_with_counts_and_show_samples(runs: dict[str, Run]) -> None:
    compared = {name: json.loads((run.path / "scores.json").read_text())["compared"] for name, run in runs.items()}
    models = [model["name"] for model in compared["language-model"]["models"]]
    assert models == ["this model", "unigram counts", "bigram counts"]
    assert compared["masked-lm"]["models"][1]["name"] == "most frequent token"
    assert compared["seq2seq"] is None
    for run in runs.values():
        page = (run.path / "report.html").read_text(encoding="utf-8")
        assert 'id="samples"' in page and 'id="surprise"' in page and "Perplexity" in page


def test_a_language_model_writes_on(runs: dict[str, Run], tmp_path: Path) -> None:
    path = runs["language-model"].path / "bundle"
    bundle = load_bundle(path)
    long = "Every object has an identity, a type and a value. " * 9
    prompts = ["Every object", "An", long]
    alone = [bundle.predict([text])[0] for text in prompts]
    for answer, text in zip(alone, prompts):
        assert set(answer) == {"text", "continuation", "tokens", "perplexity", "confidence"}
        assert text.endswith(answer["text"]) and answer["tokens"] <= 4 and answer["perplexity"] > 1
        assert 0 < answer["confidence"] < 1
    assert alone[0]["text"] == prompts[0] and len(alone[2]["text"]) < len(long)
    with start(path, store_url=f"sqlite:///{tmp_path / 'monitor.sqlite'}") as server, Client(server.url) as client:
        got = client.predict_texts(prompts)
        for answer, own in zip(got, alone):
            assert answer["continuation"] == own["continuation"]
            assert answer["perplexity"] == pytest.approx(own["perplexity"], rel=1e-4)
        assert client.feedback(got[0]["id"], got[0]["continuation"]) == "joined"
        assert client.feedback(got[1]["id"], "something else") == "joined"
        with pytest.raises(ClientError, match="the text is empty"):
            client.predict_texts([" "])
        monitor = server.app.models[0].monitor
        assert monitor is not None and monitor.flush()
        assert monitor.totals()["predictions"] == 3
    kind = bundle.kind
    assert kind.columns == ("log-likelihood", "confidence", "tokens written")
    assert kind.error(kind.truth(" a b "), "a b", np.zeros(3)) == 0 and kind.error("a b", "a", np.zeros(3)) == 1


def test_hidden_tokens_are_filled_in(runs: dict[str, Run], tmp_path: Path) -> None:
    path = runs["masked-lm"].path / "bundle"
    bundle = load_bundle(path)
    (answer, plain) = bundle.predict(["every [MASK] has an [MASK]", "every object has an identity"])
    assert [len(fills) for fills in answer["fills"]] == [5, 5]
    first = answer["fills"][0]
    assert [fill["probability"] for fill in first] == sorted((f["probability"] for f in first), reverse=True)
    assert "[MASK]" not in answer["text"] and plain["fills"] == [] and plain["text"] == "every object has an identity"
    assert answer["confidence"] == pytest.approx(
        float(np.sqrt(np.prod([fills[0]["probability"] for fills in answer["fills"]])))
    )
    (tmp_path / "texts.csv").write_text("text\nevery [MASK] is\nan object\n", encoding="utf-8")
    predict_file(bundle, tmp_path / "texts.csv", tmp_path / "out.jsonl", progress=False)
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    with start(path, store_url=f"sqlite:///{tmp_path / 'monitor.sqlite'}") as server, Client(server.url) as client:
        (got,) = client.predict_texts(["every [MASK] has an [MASK]"])
        assert got["fills"][0][0]["token"] == first[0]["token"]
        assert client.feedback(got["id"], "object identity") == "joined"


def test_sequences_are_written(runs: dict[str, Run], tmp_path: Path) -> None:
    run = runs["seq2seq"]
    path = run.path / "bundle"
    bundle = load_bundle(path)
    source = run.source()
    rows = source.split("test")
    raw = source.raw("test", np.arange(len(rows)))
    answers = bundle.predict(raw)
    right = np.mean(
        [
            answer["text"] == source.tokenizer.decode(y[y >= 0])
            for answer, y in zip(answers, rows.fetch(np.arange(len(rows)))["y"].numpy())
        ]
    )
    assert right == pytest.approx(run.metrics["exact_match"].value)  # greedy here as in the evaluation
    with start(path, store_url=f"sqlite:///{tmp_path / 'monitor.sqlite'}") as server, Client(server.url) as client:
        got = client.predict(raw[:5])
        assert [answer["text"] for answer in got] == [answer["text"] for answer in answers[:5]]
        assert client.feedback(got[0]["id"], "a b") == "joined"


@pytest.mark.parametrize("name", ["language-model", "masked-lm", "seq2seq"])
def test_files_are_predicted(runs: dict[str, Run], tmp_path: Path, name: str) -> None:
    bundle = load_bundle(runs[name].path / "bundle")
    texts = ["a b c", "c a [MASK] b", "b"] if name == "masked-lm" else ["a b c", "c a b", "b"]
    (tmp_path / "in.txt").write_text("\n".join(texts) + "\n")
    (tmp_path / "in.csv").write_text("id,text\n" + "".join(f"{i},{text}\n" for i, text in enumerate(texts)))
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    wanted = [bundle.kind.flat(answer) for answer in bundle.predict(texts)]
    for source in ("in.txt", "in.csv", "in.jsonl"):
        for out in ("out.csv", "out.jsonl"):
            command = ["predict", str(bundle.path), str(tmp_path / source), "--out", str(tmp_path / out), "--quiet"]
            done = CliRunner().invoke(app, command)
            assert done.exit_code == 0, done.output
            content = (tmp_path / out).read_text(encoding="utf-8").splitlines()
            got = list(csv.DictReader(content)) if out == "out.csv" else [json.loads(line) for line in content]
            assert [line["text"] for line in got] == texts
            for line, own in zip(got, wanted):
                for key, value in own.items():
                    found = line[f"predicted_{key}"]
                    if isinstance(value, float):
                        assert float(found) == pytest.approx(value, rel=1e-4)
                    else:
                        assert str(found) == str(value) or (value is None and found in ("", None))


def test_a_text_is_scored_as_the_test_split_was(runs: dict[str, Run], tmp_path: Path) -> None:
    run = runs["language-model"]
    folder = Path(run.recipe.data.params["path"])
    (tmp_path / "test").mkdir()
    for number in run.source().splits.test.tolist():
        name = f"{number:02}.txt"
        (tmp_path / "test" / name).write_text((folder / name).read_text(encoding="utf-8"), encoding="utf-8")
    bundle = load_bundle(run.path / "bundle")
    scores = evaluate_file(bundle, tmp_path / "test", progress=False)
    assert scores.keys() == {"loss", "perplexity", "bits_per_byte"}
    for name, score in scores.items():
        own = run.metrics[name]
        assert (score.value, score.low, score.high) == pytest.approx((own.value, own.low, own.high), rel=1e-4)
        assert score.n == own.n
    (tmp_path / "lines.csv").write_text("text\nan object\n")
    for place, message in (("lines.csv", "is scored on plain text"), ("nowhere.txt", "no such file")):
        with pytest.raises(DataError, match=message):
            evaluate_file(bundle, tmp_path / place, progress=False)
    with pytest.raises(DataError, match="--by is not for language-model"):
        judge_file(bundle, tmp_path / "test", ["text"], progress=False)
    done = CliRunner().invoke(app, ["evaluate", str(run.path), "--metric", "accuracy"])
    assert done.exit_code == 1 and "it takes labels, and this task gives" in str(done.exception)
    done = CliRunner().invoke(app, ["evaluate", str(run.path), "--by", "text"])
    assert done.exit_code == 1 and "judged by sums over tokens" in str(done.exception)


def test_pairs_are_scored_as_the_test_split_was(runs: dict[str, Run], tmp_path: Path) -> None:
    run = runs["seq2seq"]
    source = run.source()
    rows = source.split("test")
    y = rows.fetch(np.arange(len(rows)))["y"].numpy()
    pairs = [
        {**row, "target": source.tokenizer.decode(own[own >= 0])}
        for row, own in zip(source.raw("test", np.arange(len(rows))), y)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    done = CliRunner().invoke(app, ["evaluate", str(run.path / "bundle"), "--data", str(path), "--json", "--quiet"])
    assert done.exit_code == 0, done.output
    scores = json.loads(done.stdout)
    assert scores.keys() == {"loss", "perplexity", "accuracy", "exact_match", "bleu"} == run.metrics.keys()
    for name, own in run.metrics.items():
        assert scores[name]["value"] == pytest.approx(own.value, rel=1e-4) and scores[name]["n"] == own.n
    bundle = load_bundle(run.path / "bundle")
    (tmp_path / "texts.csv").write_text("id,text\n1,a b\n")
    with pytest.raises(DataError, match=r"texts.csv: no column 'target', which scoring needs; columns: id, text"):
        evaluate_file(bundle, tmp_path / "texts.csv", progress=False)
    (tmp_path / "blank.csv").write_text("text,target\na b,b a\na,\n")
    with pytest.raises(DataError, match=r"blank.csv, row 2: no text in column 'target'"):
        evaluate_file(bundle, tmp_path / "blank.csv", progress=False)
    done = CliRunner().invoke(app, ["evaluate", str(run.path), "--metric", "exact_match", "--split", "val", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["exact_match"]["value"] == run.evaluate("val")["exact_match"].value


def test_a_masked_language_model_is_scored_by_its_run(runs: dict[str, Run], tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("every object has an identity")
    bundle = load_bundle(runs["masked-lm"].path / "bundle")
    with pytest.raises(DataError, match=r"text.txt: a masked .* score its run: lamp evaluate RUN"):
        evaluate_file(bundle, tmp_path / "text.txt", progress=False)


@pytest.mark.parametrize("name", ["language-model", "masked-lm"])
def test_the_doctor_examines_the_recipe(runs: dict[str, Run], name: str) -> None:
    checkup = examine(runs[name].recipe, progress=False)
    assert {check.name for check in checkup.checks} >= {"splits", "targets", "one batch", "gradients", "learning"}
    (learning,) = (check for check in checkup.checks if check.name == "learning")
    assert learning.level == "look"  # losses are sums of rows: nothing is said of them, and nothing wrong
    assert checkup.one_batch.losses[-1] < checkup.one_batch.losses[0]
    assert (checkup.one_batch.floor is None) == (name == "masked-lm")  # its loss is drawn

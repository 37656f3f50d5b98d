"""Language models from data to a monitored service: train, export, predict, serve, feed back, and watch."""

from __future__ import annotations

import json
import pydoc_data.topics
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamplighter.bundle.runtime import load_bundle
from lamplighter.bundle.runtime.files import predict_file
from lamplighter.client.http import Client, ClientError
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
    """Some 20 kB of the language reference that every Python has."""
    (folder / "text.txt").write_text(pydoc_data.topics.topics["objects"][:12_000], encoding="utf-8")
    return {"name": "text-files", "path": str(folder / "text.txt"), "length": 16}


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

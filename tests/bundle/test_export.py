"""A bundle holds everything, says what it holds, and is written whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lamplighter.bundle import parity
from lamplighter.bundle.runtime import Bundle, load_bundle
from lamplighter.core import files, registry
from lamplighter.core.errors import BundleError, LamplighterError, RecipeError
from lamplighter.core.export_spec import ExportSpec
from lamplighter.core.recipe import Recipe
from lamplighter.core.signature import Signature
from lamplighter.metrics.score import Score

FILES = {"manifest.json", "model.onnx", "weights.safetensors", "reference.npz", "card.md"}


def test_what_lies_in_the_folder(linear_bundle: Bundle) -> None:
    folder = linear_bundle.path
    assert {path.name for path in folder.iterdir()} == FILES
    assert set(linear_bundle.manifest.files) == FILES - {"manifest.json"}
    for name, digest in linear_bundle.manifest.files.items():
        assert files.sha256(folder / name) == digest


def test_every_option_at_once(export: Any, random_weights: Any) -> None:
    out = export(
        random_weights(nn.Linear(4, 3)),
        temperature=2.5,
        name="renamed",
        recipe={"train": {"epochs": 2}, "bundle": {"reference": "summary"}},
        scores={
            "accuracy": Score(value=0.5, n=9, low=0.2, high=0.8),
            "roc_auc": Score(value=float("nan"), n=9, low=0, high=1),
        },
    )
    bundle = load_bundle(out)
    manifest = bundle.manifest
    assert (manifest.name, manifest.version, manifest.format_version) == ("renamed", "7", 2)
    assert manifest.output.labels == ("a", "b", "c")
    assert manifest.output.temperature == 2.5
    assert manifest.recipe["train"] == {"epochs": 2}
    assert manifest.created.endswith("+00:00")
    assert {"python", "torch", "onnxruntime", "numpy", "lamplighter"} <= set(manifest.packages)
    assert list(manifest.metrics) == ["accuracy"]
    card = (out / "card.md").read_text(encoding="utf-8")
    assert "Not defined on this test split: roc_auc" in card
    assert "0 rows of features" in card
    assert (bundle.reference.features, bundle.reference.outputs, bundle.reference.n) == (None, None, 27)


def test_the_weights_are_the_networks(linear_bundle: Bundle, points: Any) -> None:
    """Reading them back into torch gives the answers the bundle gives."""
    weights = load_file(linear_bundle.path / "weights.safetensors")
    x = torch.from_numpy(np.stack(points.raw("test", np.arange(5))))
    hidden = torch.tanh(x @ weights["body.weight"].T + weights["body.bias"])
    logits = hidden @ weights["head.weight"].T + weights["head.bias"]
    expected = torch.softmax(logits.double() / 1.5, dim=1).numpy()
    answers = linear_bundle.predict(x.numpy())
    np.testing.assert_allclose([list(answer["probabilities"].values()) for answer in answers], expected, atol=1e-6)


def test_answers_on_digits_are_those_of_torch(digits_bundle: Bundle, digits: Any) -> None:
    indices = np.arange(40)
    raw = digits.raw("test", indices)
    tensors = digits.split("test").fetch(indices)
    assert np.array_equal(digits_bundle.preprocess(raw)["x"], tensors["x"].numpy())
    assert {answer["label"] for answer in digits_bundle.predict(raw)} <= {str(digit) for digit in range(10)}
    assert digits_bundle.manifest.outputs == ("logits", "embedding")


def test_the_reference_is_all_of_the_validation_split(linear_bundle: Bundle, points: Any) -> None:
    rows = points.raw("val", np.arange(len(points.splits.val)))
    reference = linear_bundle.reference
    assert reference.n == len(rows) == 27
    outputs = linear_bundle.run(linear_bundle.preprocess(rows))
    scores = linear_bundle.scores_of(outputs)
    assert reference.class_counts.tolist() == np.bincount(scores.argmax(axis=1), minlength=3).tolist()
    assert reference.features is not None
    np.testing.assert_allclose(reference.features, np.stack(rows), atol=1e-7)
    assert [int(counts.sum()) for counts in reference.counts] == [27] * 4


def test_several_targets(export: Any, random_weights: Any, arrays: Any) -> None:
    source = arrays(np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32), labels=())
    bundle = load_bundle(export(random_weights(nn.Linear(4, 2)), source, kind="regression", outputs=("value",)))
    answer = bundle.predict(source.raw("val", np.array([0])))[0]
    assert list(answer) == ["values"]
    assert list(answer["values"]) == ["u", "v"]
    assert bundle.reference.class_counts.tolist() == []


def test_an_existing_bundle_is_replaced_whole(export: Any, random_weights: Any) -> None:
    first = export(random_weights(nn.Linear(4, 3), 1))
    old = load_bundle(first).manifest.files["weights.safetensors"]
    second = export(random_weights(nn.Linear(4, 3), 2))
    assert first == second
    assert load_bundle(second).manifest.files["weights.safetensors"] != old
    assert [path.name for path in first.parent.iterdir()] == ["bundle"]


def test_nothing_of_this_machine_is_in_the_bundle(linear_bundle: Bundle) -> None:
    for path in linear_bundle.path.iterdir():
        content = path.read_bytes()
        assert b"site-packages" not in content, path.name
        assert str(Path(__file__).parent).encode() not in content, path.name


def test_a_module_in_training_mode_is_refused(export: Any, random_weights: Any, tmp_path: Path) -> None:
    module = random_weights(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)))
    module[1].train()
    with pytest.raises(BundleError, match=r"training mode \(1\)"):
        export(module)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda module: module.weight.data.__setitem__((0, 0), float("nan")), "'weight' is not finite"),
        (lambda module: module.double(), "float32 on the CPU"),
    ],
)
def test_weights_that_cannot_be_shipped(export: Any, random_weights: Any, spoil: Any, message: str) -> None:
    module = random_weights(nn.Linear(4, 3))
    spoil(module)
    with pytest.raises(BundleError, match=message):
        export(module)


def test_outputs_that_do_not_fit_the_promise(export: Any, random_weights: Any) -> None:
    module = random_weights(nn.Linear(4, 3))
    with pytest.raises(BundleError, match="the first output of a classification network is 'logits'"):
        export(module, outputs=("scores",))
    with pytest.raises(BundleError, match="for 3 labels"):
        export(random_weights(nn.Linear(4, 2)))
    with pytest.raises(BundleError, match="the graph gives logits, the task promises logits, embedding"):
        export(module, outputs=("logits", "embedding"))


def test_whatever_breaks_on_the_way_leaves_nothing(
    export: Any, random_weights: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(parity, "check", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(random_weights(nn.Linear(4, 3)))
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_is_plain_json(trees_bundle: Bundle) -> None:
    data = json.loads((trees_bundle.path / "manifest.json").read_text(encoding="utf-8"))
    assert data["signature"]["targets"][0]["name"] == "price"
    assert [feature["name"] for feature in data["features"]] == ["size", "colour", "old", "planted"]


def note(spec: ExportSpec, folder: Path, example: tuple[Tensor, ...], signature: Signature) -> str:
    """A format of one's own: names and shapes as text."""
    names = [*(f"{tensor.name} {tensor.shape}" for tensor in signature.tensors), *spec.outputs]
    (folder / "note.txt").write_text("\n".join(names), encoding="utf-8")
    return "note.txt"


def lie(spec: ExportSpec, folder: Path, example: tuple[Tensor, ...], signature: Signature) -> str:
    return "lie.txt"


def usurp(spec: ExportSpec, folder: Path, example: tuple[Tensor, ...], signature: Signature) -> str:
    (folder / "model.onnx").write_bytes(b"mine")
    return "model.onnx"


@pytest.fixture
def own_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_USER", {"format": {"note": note, "lie": lie, "usurp": usurp}})


@pytest.mark.usefixtures("own_formats")
def test_formats_that_the_recipe_names_are_written(export: Any, random_weights: Any) -> None:
    out = export(random_weights(nn.Linear(4, 3)), recipe={"bundle": {"formats": ["note", "onnx", "note"]}})
    assert (out / "note.txt").read_text(encoding="utf-8") == "x (4,)\nlogits"
    manifest = load_bundle(out).manifest
    assert set(manifest.files) == FILES - {"manifest.json"} | {"note.txt"}
    assert manifest.files["note.txt"] == files.sha256(out / "note.txt")
    (out / "note.txt").write_text("changed", encoding="utf-8")
    with pytest.raises(BundleError, match=r"'note\.txt' was changed"):
        load_bundle(out)


@pytest.mark.usefixtures("own_formats")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lie", r"format 'lie' says that it wrote 'lie\.txt'"),
        ("usurp", r"format 'usurp' writes 'model\.onnx', which"),
        ("notes", r"unknown format 'notes' \(did you mean 'note'\?\)"),
    ],
)
def test_formats_that_are_refused(export: Any, random_weights: Any, tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(LamplighterError, match=message):
        export(random_weights(nn.Linear(4, 3)), recipe={"bundle": {"formats": [name]}})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("own_formats")
def test_a_recipe_names_only_formats_that_there_are() -> None:
    text = "{name: x, data: {name: digits}, model: {name: mlp}, task: {name: classification}}"
    assert Recipe.parse(text, set=["bundle.formats=[note]"]).bundle.formats == ("note",)
    with pytest.raises(RecipeError, match=r"bundle\.formats\.1: .*did you mean 'note'\?"):
        Recipe.parse(text, set=["bundle.formats=[onnx, notes]"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"name": "two words"}, "the bundle's name 'two words'"),
        ({"name": "a/b"}, "the bundle's name 'a/b'"),
        ({"name": ""}, "the bundle's name ''"),
        ({"name": "-a"}, "the first of them a letter or digit"),
        ({"version": "1/2"}, "the bundle's version '1/2': use letters"),
        ({"version": ""}, "the bundle's version ''"),
    ],
)
def test_names_and_versions_are_those_a_recipe_could_say(
    export: Any, random_weights: Any, words: dict[str, str], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        export(random_weights(nn.Linear(4, 3)), **words)

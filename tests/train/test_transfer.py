"""Transfer from a recipe: what is loaded, how inputs are scaled, what stays frozen; a resume checks the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import lamplighter as lamp
from lamplighter import models
from lamplighter.core import weights_store
from lamplighter.core.errors import InterruptedRunError, RecipeError, TrainingError, WeightsError
from lamplighter.core.recipe import Recipe, Transfer
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.core.weights import find
from lamplighter.nn.input_norm import InputNorm
from lamplighter.run import Run
from lamplighter.tasks.base import Task
from lamplighter.tasks.classification import Classification
from lamplighter.tasks.regression import Regression
from lamplighter.train import transfer
from lamplighter.train.callbacks.base import Callback, State
from lamplighter.train.freezing import is_frozen

RECIPE = """
name: digits
threads: 1
device: cpu
data: {name: digits, batch_size: 64}
model: {name: cnn, width: 4, stages: 1}
task: {name: classification}
train: {epochs: 2, precision: fp32, channels_last: false, optimizer: {name: adamw, lr: 0.01}}
"""


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("pretrained") / "run"
    lamp.fit(Recipe.parse(RECIPE), out=folder, progress=False)
    return folder


def recipe(weights: Path | str, **options: Any) -> Recipe:
    made = Recipe.parse(RECIPE, set=["seed=1", "train.epochs=1"])
    return made.with_(transfer={"weights": str(weights), **options})


def best(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoints" / "best" / "model.safetensors")


def test_a_run_begins_with_another_runs_best_weights(
    pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = lamp.fit(recipe(pretrained, freeze_up_to="head"), out=tmp_path / "run")
    theirs, ours = best(pretrained), best(run.path)
    head = {"model.head.weight", "model.head.bias"}
    assert {name for name in ours if not torch.equal(ours[name], theirs[name])} == head
    assert torch.equal(ours["norm.mean"], theirs["norm.mean"])
    assert run.recipe.transfer is not None
    assert run.recipe.transfer.sha256 == find(pretrained).sha256()
    record = next(record for record in run.history if record["event"] == "transfer")
    assert record["loaded"] == len(theirs) - 4 and record["new"] == ["head.weight", "head.bias"]
    shown = capsys.readouterr()
    said = " ".join((shown.out + shown.err).split())
    assert "new (head)" in said and "head.weight, head.bias" in said
    assert "frozen: stem, stages.0; 940 parameters stay, 90 learn" in said
    report = (run.path / "report.html").read_text()
    assert "began with" in report and f"{record['loaded']} tensors of {pretrained}" in report
    assert Run(run.path).task().norm.std.tolist() == theirs["norm.std"].tolist()  # type: ignore[union-attr, operator]


def test_fine_tuning_moves_everything_from_there(pretrained: Path, tmp_path: Path) -> None:
    class First(Callback):
        def on_train_start(self, state: State) -> None:
            self.state = {name: tensor.clone() for name, tensor in state.task.state_dict().items()}

    first = First()
    run = lamp.fit(recipe(pretrained), out=tmp_path / "run", progress=False, callbacks=[first])
    theirs, ours = best(pretrained), best(run.path)
    begun = {name for name, tensor in first.state.items() if torch.equal(tensor, theirs[name])}
    assert begun == set(theirs) - {"model.head.weight", "model.head.bias"}
    assert {name for name in ours if torch.equal(ours[name], theirs[name])} == {"norm.mean", "norm.std"}


class Stop(Callback):
    """A signal after some steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, state: State) -> None:
        if state.step == self.steps:
            import signal

            signal.raise_signal(signal.SIGTERM)


def interrupted(made: Recipe, folder: Path) -> None:
    with pytest.raises(InterruptedRunError):
        lamp.fit(made, out=folder, progress=False, callbacks=[Stop(7)])


def test_a_resumed_run_is_bit_identical_and_stays_frozen(pretrained: Path, tmp_path: Path) -> None:
    made = recipe(pretrained, freeze_up_to=1)
    lamp.fit(made, out=tmp_path / "whole", progress=False, callbacks=[Callback()])
    interrupted(made, tmp_path / "cut")
    lamp.fit(made, out=tmp_path / "cut", resume=True, progress=False, callbacks=[Callback()])
    whole, cut = (load_file(tmp_path / name / "checkpoints/last/model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(cut[name], tensor) for name, tensor in whole.items())
    assert torch.equal(cut["model.stem.norm.running_mean"], best(pretrained)["model.stem.norm.running_mean"])
    assert not torch.equal(cut["model.stages.0.down.conv.weight"], best(pretrained)["model.stages.0.down.conv.weight"])


def test_a_resume_refuses_a_file_that_was_changed_and_does_not_miss_one_that_is_gone(
    pretrained: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "w.safetensors"
    shutil.copyfile(find(pretrained).paths[0], weights)
    interrupted(recipe(weights), tmp_path / "run")
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsError, match="was changed or damaged"):
        lamp.fit(recipe(weights), out=tmp_path / "run", resume=True, progress=False, callbacks=[Callback()])
    weights.unlink()
    run = lamp.fit(recipe(weights), out=tmp_path / "run", resume=True, progress=False, callbacks=[Callback()])
    assert run.finished
    with pytest.raises(WeightsError, match="no such file or folder"):
        lamp.fit(recipe(weights), out=tmp_path / "other", progress=False)
    assert not (tmp_path / "other").exists()


def test_a_bundle_holds_the_weights_too(pretrained: Path, tmp_path: Path) -> None:
    shutil.copytree(pretrained, tmp_path / "run")
    Run(tmp_path / "run").export()
    from_bundle, from_run = _task(), _task()
    transfer.begin(from_bundle, Transfer(weights=str(tmp_path / "run" / "bundle"), head="keep"))
    transfer.begin(from_run, Transfer(weights=str(pretrained), head="keep"))
    theirs = from_run.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in from_bundle.state_dict().items())


def test_weights_of_the_store_by_name(pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMPLIGHTER_WEIGHTS", str(tmp_path / "store"))
    entry = weights_store.add(find(pretrained), "my-cnn")
    task = _task()
    report, settings = transfer.begin(task, Transfer(weights="my-cnn"))
    assert report.complete and settings.sha256 == entry.sha256
    with pytest.raises(WeightsError, match="expected 0000"):
        transfer.begin(task, Transfer(weights="my-cnn", sha256="0" * 64))
    with pytest.raises(WeightsError, match="expected 0000"):
        transfer.load(task.model, "my-cnn", sha256="0" * 64)


def test_an_unfinished_run_is_refused(tmp_path: Path, pretrained: Path) -> None:
    interrupted(recipe(pretrained), tmp_path / "cut")
    with pytest.raises(WeightsError, match="has not finished"):
        transfer.load(_task().model, tmp_path / "cut")


def _signature(channels: int, classes: int) -> Signature:
    target = (
        Column(name="y", kind="category", categories=tuple(map(str, range(classes))))
        if classes > 1
        else Column(name="y", kind="numeric")
    )
    return Signature(
        inputs=(Column(name="image", kind="image", shape=(8, 8, channels)),),
        tensors=(TensorSpec(name="x", dtype="uint8", shape=(channels, 8, 8)),),
        targets=(target,),
    )


def _task(channels: int = 1, classes: int = 10, statistics: Any = ([100.0], [50.0])) -> Any:
    model = models.create("cnn", in_channels=channels, num_classes=classes, width=4, stages=1)
    signature = _signature(channels, classes)
    if classes == 1:
        return Regression(model, signature, statistics, ([5.0], [2.0]))
    return Classification(model, signature, statistics)


def _saved(task: Task, path: Path) -> str:
    save_file({name: tensor.clone() for name, tensor in task.state_dict().items()}, path)
    return str(path)


def test_inputs_are_scaled_as_where_the_weights_were_trained(tmp_path: Path) -> None:
    weights = _saved(_task(statistics=([30.0], [60.0])), tmp_path / "w.safetensors")
    for choice, mean, std in [
        ("auto", 30.0, 60.0),
        ("checkpoint", 30.0, 60.0),
        ("data", 100.0, 50.0),
        ("imagenet", 255 * 0.449, 255 * 0.226),
    ]:
        task = _task()
        report, _ = transfer.begin(task, Transfer(weights=weights, input_norm=choice))  # type: ignore[arg-type]
        torch.testing.assert_close(task.norm.mean, torch.tensor([mean]))
        torch.testing.assert_close(task.norm.std, torch.tensor([std]))
        assert any(note.startswith("inputs: scaled") for note in report.notes) == (choice != "data")


def test_the_network_computes_what_it_computed(tmp_path: Path) -> None:
    """On the same images, through the scaling it was trained with: the point of taking that along."""
    before = _task(statistics=([30.0], [60.0])).eval()
    weights = _saved(before, tmp_path / "w.safetensors")
    after = _task()
    transfer.begin(after, Transfer(weights=weights, head="keep"))
    x = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    assert torch.equal(after.eval().model(after.norm(x)), before.model(before.norm(x)))


def test_a_plain_file_gets_the_scaling_of_the_data_or_of_imagenet(tmp_path: Path) -> None:
    torch.save(_task(3).model.state_dict(), tmp_path / "w.pt")
    weights = str(tmp_path / "w.pt")
    statistics = ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    task = _task(3, statistics=statistics)
    report, _ = transfer.begin(task, Transfer(weights=weights))
    assert task.norm.mean.tolist() == statistics[0]
    assert report.notes == ("inputs: scaled by this data's statistics, for the file has none",)
    transfer.begin(task, Transfer(weights=weights, input_norm="imagenet"))
    torch.testing.assert_close(task.norm.mean, 255 * torch.tensor([0.485, 0.456, 0.406]))
    torch.testing.assert_close(task.norm.std, 255 * torch.tensor([0.229, 0.224, 0.225]))
    with pytest.raises(WeightsError, match="does not say how inputs were scaled"):
        transfer.begin(task, Transfer(weights=weights, input_norm="checkpoint"))


def test_data_that_the_network_does_not_scale(tmp_path: Path) -> None:
    weights = _saved(_task(), tmp_path / "w.safetensors")
    task = _task(statistics=None)
    report, _ = transfer.begin(task, Transfer(weights=weights))
    assert report.complete and isinstance(task.norm, nn.Identity)
    with pytest.raises(WeightsError, match="not scaled by the network"):
        transfer.begin(task, Transfer(weights=weights, input_norm="imagenet"))


def test_gray_images_take_over_from_colours(tmp_path: Path) -> None:
    weights = _saved(_task(3, statistics=([90.0, 100.0, 110.0], [50.0, 60.0, 70.0])), tmp_path / "w.safetensors")
    task = _task(1, statistics=([1.0], [1.0]))
    report, _ = transfer.begin(task, Transfer(weights=weights))
    assert task.norm.mean.tolist() == [100.0] and task.norm.std.tolist() == [60.0]
    assert report.notes[0] == "stem.conv.weight: 3 channels in the file, 1 here; their kernels are added up"


def test_a_kept_regression_head_answers_in_its_own_units(tmp_path: Path) -> None:
    before = _task(classes=1)
    weights = _saved(before, tmp_path / "w.safetensors")
    for head, mean in (("keep", 5.0), ("new", 0.0)):
        after = Regression(_task(classes=1).model, _signature(1, 1), ([100.0], [50.0]), ([0.0], [1.0]))
        transfer.begin(after, Transfer(weights=weights, head=head))  # type: ignore[arg-type]
        assert after.scale.mean.tolist() == [mean]


def test_what_was_prepared_otherwise_is_noted(pretrained: Path, tmp_path: Path) -> None:
    shutil.copytree(pretrained, tmp_path / "run")
    text = (tmp_path / "run" / "recipe.yaml").read_text()
    (tmp_path / "run" / "recipe.yaml").write_text(
        text.replace("name: digits\n  batch_size", "name: image-folder\n  size: 32\n  batch_size")
    )
    ours = Recipe.parse(RECIPE)
    report, _ = transfer.begin(_task(), Transfer(weights=str(tmp_path / "run")), ours)
    assert "data: image-folder where the weights were trained, digits here" in report.notes
    report, _ = transfer.begin(_task(), Transfer(weights=str(pretrained)), ours)
    assert not any(note.startswith("data") for note in report.notes)


def test_frozen_blocks_are_those_of_the_recipe(tmp_path: Path) -> None:
    weights = _saved(_task(), tmp_path / "w.safetensors")
    task = _task()
    transfer.begin(task, Transfer(weights=weights, freeze_up_to="stem"))
    task.train()
    assert is_frozen(task.model.stem) and task.model.stages[0].training
    with pytest.raises(TrainingError, match=r"1 stem, 2 stages\.0"):
        transfer.begin(_task(), Transfer(weights=weights, freeze_up_to=7))


def test_a_hugging_face_folder_whose_config_means_another_function_is_refused(tmp_path: Path) -> None:
    resnet = models.create("resnet18", in_channels=3, num_classes=2)
    save_file(resnet.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "resnet", "hidden_act": "gelu"}))
    with pytest.raises(WeightsError, match=r"its config\.json says hidden_act: gelu"):
        transfer.load(resnet, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "resnet", "hidden_act": "relu"}))
    assert transfer.load(resnet, tmp_path).complete


def test_a_task_without_a_single_network_is_told() -> None:
    with pytest.raises(WeightsError, match="no single network"):
        transfer.begin(Task(), Transfer(weights="x"))


def test_mistakes_in_the_section_are_found_with_all_others() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse(RECIPE + "transfer: {weigths: x, head: old, freeze_up_to: -1}")
    said = "\n".join(caught.value.problems)
    for expected in (
        "transfer.weigths: unknown key (did you mean 'weights'?)",
        "transfer.head",
        "transfer.freeze_up_to",
    ):
        assert expected in said
    assert Recipe.parse(RECIPE).transfer is None
    assert isinstance(_task().norm, InputNorm)

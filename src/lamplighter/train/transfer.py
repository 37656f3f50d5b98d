"""Begin with weights that were trained elsewhere: find and check the file, load what fits, freeze what should stay."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from lamplighter.core import weights_store, yaml
from lamplighter.core.errors import LamplighterError, WeightsError
from lamplighter.core.recipe import Recipe, Transfer
from lamplighter.core.weights import WeightFiles
from lamplighter.models.weights import loading
from lamplighter.models.weights.layouts import layouts_of
from lamplighter.models.weights.loading import LoadReport
from lamplighter.models.weights.reading import read
from lamplighter.nn.input_norm import InputNorm
from lamplighter.nn.output_scale import OutputScale
from lamplighter.tasks.base import Task
from lamplighter.train import checkpoint, freezing

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
"""Mean and deviation of ImageNet's colours between 0 and 1, which torchvision's, timm's and Hugging Face's ResNets are
trained with; our first layer counts from 0 to 255."""

_OF_TASK = ("norm.mean", "norm.std", "scale.mean", "scale.std")


def load(
    model: nn.Module,
    weights: str | Path | WeightFiles,
    *,
    sha256: str | None = None,
    head: Literal["new", "keep"] = "new",
    strict: bool = True,
    ignore: Collection[str] = (),
) -> LoadReport:
    """Load a file of weights into a network.

    Args:
        model: its tensors are overwritten; on an error none is.
        weights: a file, a folder, a finished run's directory or a name in the store, see
            `lamplighter.core.weights_store.locate`.
        sha256: what the file must have.
        head: ``new`` leaves the last layer as it is, ``keep`` loads it too.
        strict: refuse unless all of the model but a new head is loaded and nothing is left over.
        ignore: patterns of names, in the model's spelling, to leave out.

    Raises:
        WeightsError: not found, another SHA-256, damaged, not only tensors, or it does not fit; the message says what.
    """
    source = weights if isinstance(weights, WeightFiles) else weights_store.locate(str(weights))
    if sha256 is not None:
        source.check(sha256)
    return _load(model, _read(source)[0], source, head, strict, ignore)


def begin(task: Task, settings: Transfer, recipe: Recipe | None = None) -> tuple[LoadReport, Transfer]:
    """Do what a recipe's ``transfer`` section says to a fresh task.

    Scaling of the inputs comes with the weights where the file has it, as the best weights of our own runs do: they
    were trained, and their running statistics counted, on inputs scaled like that. A file without it gets the scaling
    of the new data; for networks trained on ImageNet say ``input_norm: imagenet``.

    Args:
        task: has one network, ``model``; not trained yet.
        settings: the section.
        recipe: of the new training, to tell what is prepared otherwise than in the run the weights come from.

    Returns:
        What became of each tensor, and the section with the SHA-256 written in.

    Raises:
        WeightsError: see `load`; or the task has no network of that name.
        TrainingError: ``freeze_up_to`` names no block.
    """
    model = getattr(task, "model", None)
    if not isinstance(model, nn.Module):
        raise WeightsError(f"transfer: a {type(task).__name__} has no single network to load weights into")
    source = weights_store.locate(settings.weights)
    digest = source.sha256()
    if settings.sha256 is not None:
        source.check(settings.sha256)
    tensors, own = _read(source)
    report = _load(model, tensors, source, settings.head, settings.strict, settings.ignore)
    notes = [*report.notes, *_scale_inputs(task, settings, own, source.shown)]
    if settings.head == "keep":
        notes += _scale_outputs(task, own)
    if source.run is not None and recipe is not None:
        notes += _differences(source.run, recipe)
    notes += _freeze(task, settings)
    return dataclasses.replace(report, notes=tuple(notes)), settings.model_copy(update={"sha256": digest})


def begin_or_go_on(task: Task, recipe: Recipe, folder: Path) -> tuple[LoadReport | None, Recipe]:
    """What `lamplighter.run.fit` does with a ``transfer`` section: load at the beginning, freeze in any case.

    Args:
        task: fresh.
        recipe: of the training; without the section nothing happens.
        folder: the run's directory. When it has a checkpoint, that has all weights, and a file that is gone is not
            missed; one that is there must be the one the run began with.

    Returns:
        What became of each tensor (None when nothing was loaded), and the recipe with the SHA-256 written in.

    Raises:
        WeightsError: see `begin`.
    """
    if recipe.transfer is None:
        return None, recipe
    if not checkpoint.exists(folder / "checkpoints" / "last"):
        report, settings = begin(task, recipe.transfer, recipe)
        return report, recipe.with_(transfer=settings)
    if recipe.transfer.sha256 is not None and weights_store.exists(recipe.transfer.weights):
        weights_store.locate(recipe.transfer.weights).check(recipe.transfer.sha256)
    _freeze(task, recipe.transfer)
    return None, recipe


def _read(source: WeightFiles) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Tensors of the network, and those of the task around it: scaling of inputs and outputs."""
    tensors = read(source)
    if not any(name.startswith("model.") for name in tensors):
        return tensors, {}
    own = {name: tensors.pop(name) for name in _OF_TASK if name in tensors}
    return tensors, own


def _load(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    source: WeightFiles,
    head: Literal["new", "keep"],
    strict: bool,
    ignore: Collection[str],
) -> LoadReport:
    for layout in layouts_of(model):
        reason = layout.unlike(source.config)
        if reason is not None:
            raise WeightsError(f"{source.shown}: {reason}")
    return loading.load(model, tensors, head=head, strict=strict, ignore=ignore, source=source.shown)


def _scale_inputs(task: Task, settings: Transfer, own: Mapping[str, Tensor], shown: str) -> list[str]:
    norm, wish = getattr(task, "norm", None), settings.input_norm
    known = "norm.mean" in own and "norm.std" in own
    if wish == "checkpoint" and not known:
        raise WeightsError(f"{shown}: does not say how inputs were scaled; use transfer.input_norm: imagenet or data")
    if not isinstance(norm, InputNorm):
        if wish in ("checkpoint", "imagenet"):
            raise WeightsError(f"transfer.input_norm: {wish}: inputs of this data are not scaled by the network")
        return []
    if wish == "data" or (wish == "auto" and not known):
        return [] if wish == "data" else ["inputs: scaled by this data's statistics, for the file has none"]
    if wish == "imagenet":
        mean, std = (255 * torch.tensor(values) for values in IMAGENET)
    else:
        mean, std = own["norm.mean"].float(), own["norm.std"].float()
    before = f"mean {_numbers(norm.mean)}, deviation {_numbers(norm.std)}"
    norm.mean.copy_(_for_channels(mean, len(norm.mean)))
    norm.std.copy_(_for_channels(std, len(norm.std)))
    where = "as in ImageNet" if wish == "imagenet" else "as where the weights were trained"
    return [
        f"inputs: scaled {where} (mean {_numbers(norm.mean)}, deviation {_numbers(norm.std)}); this data has {before}"
    ]


def _for_channels(values: Tensor, channels: int) -> Tensor:
    """The same numbers; their mean where the number of channels is another."""
    return values if len(values) == channels else values.mean().expand(channels)


def _scale_outputs(task: Task, own: Mapping[str, Tensor]) -> list[str]:
    """A head that is kept answers in the standard units it was trained in."""
    scale = getattr(task, "scale", None)
    if not isinstance(scale, OutputScale) or "scale.mean" not in own:
        return []
    if own["scale.mean"].shape != scale.mean.shape:
        return []
    scale.mean.copy_(own["scale.mean"])
    scale.std.copy_(own["scale.std"])
    return ["outputs: in the units of the head that was kept"]


def _differences(run: Path, recipe: Recipe) -> list[str]:
    """What the run's data section prepares otherwise; paths, splits and batch sizes do not count."""
    try:
        theirs = dict(yaml.load(run / "recipe.yaml").data["data"])
    except (LamplighterError, KeyError, TypeError, OSError):
        return []
    ours = recipe.to_dict()["data"]
    passed_over = {"name", "path", "batch_size", "split", "split_seed", "seed"}
    lines = []
    if theirs.get("name") != ours["name"]:
        lines.append(f"data: {theirs.get('name')} where the weights were trained, {ours['name']} here")
    for key in sorted((theirs.keys() & ours.keys()) - passed_over):
        if theirs[key] != ours[key]:
            lines.append(f"data.{key}: {theirs[key]} where the weights were trained, {ours[key]} here")
    return lines


def _freeze(task: Task, settings: Transfer) -> list[str]:
    if settings.freeze_up_to == 0:
        return []
    chosen = freezing.first(task, settings.freeze_up_to)
    freezing.Frozen(chosen)
    frozen = sum(p.numel() for block in chosen for p in block.parameters())
    trained = sum(p.numel() for p in task.parameters() if p.requires_grad)
    names = [block.name for block in chosen]
    listed = ", ".join(names) if len(names) <= 4 else f"{names[0]} to {names[-1]} ({len(names)} blocks)"
    return [f"frozen: {listed or 'nothing'}; {frozen:,} parameters stay, {trained:,} learn"]


def _numbers(values: Tensor) -> str:
    return " ".join(f"{value:.4g}" for value in values.tolist()[:4])

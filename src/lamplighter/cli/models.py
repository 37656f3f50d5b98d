"""``lamp models``: the architectures a recipe can name, and a closer look at one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lamplighter.cli import options
from lamplighter.cli.options import Import, Json
from lamplighter.core.errors import LamplighterError

if TYPE_CHECKING:
    from torch import nn

    from lamplighter.models.inspecting.receptive_field import ReceptiveField

models = typer.Typer(help="List the architectures, or look into one: lamp models show resnet18")


@models.callback(invoke_without_command=True)
def list_(context: typer.Context, json: Json = False, import_: Import = None) -> None:
    """List the architectures and where each is written; `lamp models show NAME` looks into one."""
    options.load_imports(import_)
    if context.invoked_subcommand is not None:
        return
    from lamplighter.core import registry
    from lamplighter.core.catalog import CATALOG

    rows = [[name, CATALOG["model"].get(name, "imported")] for name in registry.names("model")]
    if json:
        options.print_json([{"name": name, "where": where} for name, where in rows])
    else:
        options.print_table("Architectures", ["name", "where"], rows)


@models.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME|RUN", help="An architecture, or the directory of a run.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where the SVG goes. Default: NAME.svg here.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A constructor parameter: num_classes=10.")
    ] = None,
    size: Annotated[
        str | None, typer.Option("--input", metavar="SIZE", help="Of one row: 3x224x224, 128 tokens, 20 columns.")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, metavar="N", help="Rows in the input.")] = 1,
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="FILE", help="Load weights: a file, a run, a name of the store.")
    ] = None,
    depth: Annotated[int, typer.Option("--depth", min=1, metavar="N", help="How deep the table goes.")] = 2,
    kernels: Annotated[
        Path | None, typer.Option("--kernels", metavar="FILE", help="Draw the first kernels into a .png or .svg.")
    ] = None,
    feature_maps: Annotated[
        Path | None, typer.Option("--feature-maps", metavar="FILE", help="Draw what a layer answers to a run's image.")
    ] = None,
    attention: Annotated[
        Path | None, typer.Option("--attention", metavar="FILE", help="Draw who looks at whom in a layer.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option("--layer", metavar="L", help="Of the pictures: a name, for --attention a number.")
    ] = None,
    json: Json = False,
    import_: Import = None,
) -> None:
    """Layers, parameters, MACs, memory and time of one architecture in a table; its structure as an SVG."""
    options.load_imports(import_)
    model, input_, note, title = _opened(name, set_, size, batch)
    from lamplighter import models as zoo

    large = any(parameter.is_meta for parameter in model.parameters())
    if large and (weights or kernels or feature_maps or attention):
        raise LamplighterError(f"model '{name}' is too large to be made for a look; make it smaller with --set")
    if weights is not None:
        from lamplighter.train import transfer

        transfer.load(model, weights, head="keep")
    found = zoo.summary(model, input_, repeats=0 if large else 5)
    reach = _reach(model, input_)
    path = out or Path(f"{title}.svg")
    if not path.parent.is_dir():
        raise LamplighterError(f"--out {path}: the folder {path.parent} does not exist")
    zoo.structure(model, input_).save(path, title)
    written = [path, *_pictures(model, input_, kernels, feature_maps, attention, layer)]
    if json:
        field = None if reach is None else {"size": reach.size, "stride": reach.stride, "touched": reach.touched}
        pictures = [str(picture) for picture in written]
        more = {"name": title, "note": note, "receptive_field": field, "written": pictures}
        options.print_json({**more, **found.to_dict(depth)})
        return
    from rich.console import Console

    width = None if sys.stdout.isatty() else 160
    Console(width=width).print(found.table(depth))
    typer.echo(found.totals())
    typer.echo(note + ("; too large to be made here, so nothing was measured" if large else ""))
    if reach is not None:
        typer.echo(f"last map: {reach}")
    for picture in written:
        typer.echo(f"Written: {picture}")


def _opened(name: str, set_: list[str] | None, size: str | None, batch: int) -> tuple[nn.Module, Any, str, str]:
    """Model, input, a word on what was made up, title."""
    folder = Path(name)
    if (folder / "recipe.yaml").is_file():
        if set_ or size:
            raise LamplighterError("--set and --input are for architectures; a run has its own parameters and data")
        from lamplighter.run import Run

        return *_of_run(Run(folder), batch), folder.resolve().name
    from lamplighter.models.inspecting.examples import example

    made = example(name, _params(set_ or []), _size(size), batch)
    facts = ", ".join(f"{key}={value}" for key, value in made.facts.items())
    return made.model, made.input, f"made up, change with --set: {facts}" if facts else "nothing was made up", name


def _of_run(run: Any, batch: int) -> tuple[nn.Module, Any, str]:
    """The best weights of a run, and its first validation rows as its network gets them."""
    import inspect

    import torch

    task = run.task().eval()
    rows = run.source().split("val")
    found = rows.fetch(torch.arange(min(batch, len(rows))))
    if not isinstance(getattr(task, "model", None), torch.nn.Module):
        raise LamplighterError(f"{run.path}: its task '{run.recipe.task.name}' holds no single network to show")
    network: nn.Module = task.model
    names = inspect.signature(network.forward).parameters
    if "input_ids" in names:
        return network, {key: found[key] for key in names if key in found}, f"best weights of {run.path}"
    with torch.no_grad():
        return network, task.norm(found["x"]), f"best weights of {run.path}; its first validation rows"


def _params(overrides: list[str]) -> dict[str, Any]:
    from lamplighter.core import yaml

    params = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.isidentifier():
            raise LamplighterError(f"--set {override}: write KEY=VALUE, as in num_classes=10")
        params[key] = yaml.parse_value(text)
    return params


def _size(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise LamplighterError(f"--input {text}: write numbers joined by x, as in 3x224x224")
    return tuple(int(part) for part in parts)


def _reach(model: nn.Module, input_: Any) -> ReceptiveField | None:
    """Of networks that take images; None where positions cannot be followed."""
    import warnings

    from torch import Tensor

    from lamplighter.models import receptive_field

    if not isinstance(input_, Tensor) or input_.dim() < 3:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gridding: it stands in the words as well
        try:
            return receptive_field(model, input_)
        except LamplighterError:
            return None


def _pictures(
    model: nn.Module,
    input_: Any,
    kernels: Path | None,
    feature_maps: Path | None,
    attention: Path | None,
    layer: str | None,
) -> list[Path]:
    from lamplighter import models as zoo

    written = []
    if kernels is not None:
        written.append(zoo.kernels(model, kernels, layer if attention is None and feature_maps is None else None))
    if feature_maps is not None:
        image = None if isinstance(input_, dict) or input_.dim() != 4 else input_[:1]
        if image is None:
            raise LamplighterError("--feature-maps: this network takes no images")
        written.append(zoo.feature_maps(model, image, feature_maps, layer))
    if attention is not None:
        written.append(_attention(model, input_, attention, layer))
    return written


def _attention(model: nn.Module, input_: Any, path: Path, layer: str | None) -> Path:
    """The first row's weights in one layer, the last one by default."""
    from lamplighter import models as zoo
    from lamplighter.nn.attention import recorded_weights

    with recorded_weights() as maps:
        zoo.predict(model, **input_) if isinstance(input_, dict) else zoo.predict(model, input_)
    if not maps:
        raise LamplighterError("--attention: this network has no attention layers")
    if layer is not None and not (layer.isdecimal() and int(layer) < len(maps)):
        raise LamplighterError(f"--layer {layer}: attention layers are numbered 0 to {len(maps) - 1}")
    number = len(maps) - 1 if layer is None else int(layer)
    return zoo.attention_maps(maps[number][0], path, title=f"attention layer {number} of {len(maps)}")

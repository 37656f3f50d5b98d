"""``lamp weights``: the local store of pretrained weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lamplighter.cli import options
from lamplighter.cli.options import Import, Json
from lamplighter.core.errors import WeightsError

weights = typer.Typer(
    help="Add, list, verify and remove pretrained weights that recipes call by name.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `lamp weights list` shows it.")]


@weights.command()
def add(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file, a folder as Hugging Face writes it, a run or a bundle.")
    ],
    name: Annotated[str, typer.Option("--name", metavar="N", help="What recipes will call it.")],
    sha256: Annotated[
        str | None, typer.Option("--sha256", metavar="H", help="Refuse the file unless it has this SHA-256.")
    ] = None,
    import_: Import = None,
) -> None:
    """Copy a file of weights into the store, with its SHA-256. A file with anything but tensors in it is refused."""
    options.load_imports(import_)
    from lamplighter.core import weights_store
    from lamplighter.core.weights import find
    from lamplighter.models.weights.guess import describe

    source = find(file.expanduser())
    if sha256 is not None:
        source.check(sha256)
    entry = weights_store.add(source, name, sha256, describe(source))
    typer.echo(f"Added: {name}: {_size(entry.size)}, {entry.architecture or 'of no known architecture'}")
    typer.echo(f"sha256: {entry.sha256}")
    typer.echo(f"Use it in a recipe: transfer: {{weights: {name}}}")


@weights.command("list")
def list_(json: Json = False) -> None:
    """What is in the store."""
    from lamplighter.core import weights_store

    entries = [weights_store.get(name) for name in weights_store.names()]
    if json:
        options.print_json([entry.model_dump() for entry in entries])
        return
    if not entries:
        typer.echo(f"The store is empty ({weights_store.root()}). Add to it with: lamp weights add FILE --name NAME")
        return
    rows = [
        [e.name, e.architecture or "unknown", _size(e.size), str(e.tensors or ""), e.sha256[:12], e.added[:10]]
        for e in entries
    ]
    options.print_table("Weights", ["name", "architecture", "size", "tensors", "sha256", "added"], rows)


@weights.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Default: all.")] = None,
) -> None:
    """Compute the SHA-256 of stored files anew and compare it with the record."""
    from lamplighter.core import weights_store

    problems: list[str] = []
    for name in names or weights_store.names():
        try:
            weights_store.verified(name)
        except WeightsError as error:
            problems.append(str(error))
        else:
            typer.echo(f"{name}: as it was added")
    if problems:
        raise WeightsError("\n".join(problems))


@weights.command()
def remove(name: Name) -> None:
    """Take weights out of the store and delete the copy."""
    from lamplighter.core import weights_store

    weights_store.remove(name)
    typer.echo(f"Removed: {name}")


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"

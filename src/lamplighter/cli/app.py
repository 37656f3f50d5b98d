"""The command ``lamp``: one verb per file, each importing what it needs only when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

import lamplighter
from lamplighter.cli import (
    demo,
    doctor,
    ensemble,
    evaluate,
    export,
    models,
    new,
    predict,
    recipes,
    runs,
    schema,
    search,
    serve,
    study,
    topics,
    train,
    transfer,
    up,
    weights,
)

app = typer.Typer(
    name="lamp",
    help="From a data set to a trained, exported, served and monitored model. Start with: lamp demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

modules = (
    up,
    train,
    search,
    transfer,
    evaluate,
    study,
    ensemble,
    predict,
    export,
    serve,
    demo,
    new,
    recipes,
    runs,
    topics,
    schema,
    doctor,
)
for module in modules:
    name = module.__name__.rpartition(".")[2]
    app.command(name)(getattr(module, name))
app.add_typer(models.models, name="models")
app.add_typer(weights.weights, name="weights")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"lamplighter {lamplighter.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """`--debug` is taken out of the line by ``lamplighter.__main__``; it stands here for ``--help``."""

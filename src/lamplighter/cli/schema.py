"""``lamp schema``: JSON Schema of recipes, for editors."""

from __future__ import annotations

from typing import Annotated

import typer

from lamplighter.cli import options


def schema(
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Generate it from the code instead of printing the shipped one.")
    ] = False,
) -> None:
    """Print the JSON Schema of recipes; point your editor at it for completion and checks."""
    from lamplighter.core import schema as recipe_schema

    if fresh:
        options.print_json(recipe_schema.build())
    else:
        typer.echo(recipe_schema.path().read_text(encoding="utf-8"), nl=False)

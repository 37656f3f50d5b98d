"""``lamp new``: look at the data, write a recipe that trains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lamplighter.core import files
from lamplighter.core.errors import LamplighterError


def new(
    data: Annotated[Path, typer.Argument(metavar="TABLE|FOLDER", help="CSV, Parquet, or a folder of images.")],
    target: Annotated[str | None, typer.Option("--target", help="Column to predict (tables).")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Default: <name>.yaml here.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Look at a data set and write a commented recipe for it."""
    from lamplighter.data.inspect import describe

    out = out or Path(f"{data.resolve().stem}.yaml")
    if out.exists() and not force:
        raise LamplighterError(f"{out} exists; choose another --out or add --force")
    files.write_text(out, describe(data, target))
    typer.echo(f"Recipe: {out} (read it, it explains itself)")
    typer.echo(f"Next: lamp up {out}")

"""``lamp transfer``: what pretrained weights gain, by how much of them stays frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lamplighter.cli import options
from lamplighter.cli.options import Import, Json, Quiet, RecipeArgument, Set
from lamplighter.core.errors import LamplighterError


def transfer(
    recipe: RecipeArgument,
    weights: Annotated[
        str | None,
        typer.Option("--weights", metavar="W", help="A file, a run or a stored name. Default: the recipe's."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Trainings of each kind.")] = 4,
    freeze: Annotated[
        str | None,
        typer.Option("--freeze", metavar="K,K,...", help="Numbers or names of blocks to freeze. Default: all."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Default: runs/<name>-transfer. A study there goes on.")
    ] = None,
    set: Set = None,
    json: Json = False,
    import_: Import = None,
    quiet: Quiet = False,
) -> None:
    """Train from scratch, fine-tune, freeze more and more blocks up to the head alone; compare on validation rows.

    Writes study.json and the picture study.svg. The test split stays closed.
    """
    options.load_imports(import_)
    from lamplighter.core.recipe import Recipe
    from lamplighter.transfer_study import study

    overrides = [*(set or []), *([f"transfer.weights={weights}"] if weights is not None else [])]
    loaded = Recipe.load(recipe, set=overrides)
    folder = out or Path("runs") / f"{loaded.name}-transfer"
    gain = study(loaded, folder, seeds=range(seeds), freeze=_frozen(freeze), progress=not quiet)
    if json:
        options.print_json(gain.to_dict())
        return
    columns = ["training", "parameters that learn", f"validation {gain.metric}", "over scratch (95%)", "better on"]
    options.print_table("Transfer", columns, gain.rows())
    typer.echo(gain.verdict())
    typer.echo(f"Picture: {folder / 'study.svg'}")


def _frozen(text: str | None) -> list[int | str] | None:
    """``0,2,head`` -> numbers and names."""
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise LamplighterError(f"--freeze {text}: numbers or names with a comma between, such as 0,2,head")
    return [int(word) if word.isdigit() else word for word in words]

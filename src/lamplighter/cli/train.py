"""``lamp train``: a recipe becomes a run."""

from __future__ import annotations

from typing import Annotated

import typer

from lamplighter.cli import options
from lamplighter.cli.options import Import, Out, Quiet, RecipeArgument, Set


def train(
    recipe: RecipeArgument,
    out: Out = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing run directory.")] = False,
    more_epochs: Annotated[
        int, typer.Option("--more-epochs", min=0, metavar="N", help="Train a finished run in --out for N epochs more.")
    ] = 0,
    set: Set = None,
    import_: Import = None,
    quiet: Quiet = False,
) -> None:
    """Train a model: writes checkpoints, metrics.jsonl, scores and report.html into a run directory."""
    options.load_imports(import_)
    from lamplighter.core.recipe import Recipe
    from lamplighter.run import fit
    from lamplighter.train.distributed.group import is_main

    run = fit(
        Recipe.load(recipe, set=set),
        out=out,
        resume=resume,
        force=force,
        more_epochs=more_epochs,
        progress=not quiet,
    )
    if not is_main():  # the first of several processes speaks for all
        return
    options.print_scores("Test scores:", run.metrics)
    typer.echo(f"Next: lamp export {run.path}")

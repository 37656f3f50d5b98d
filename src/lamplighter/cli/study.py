"""``lamp study``: what a recipe's error comes from, and whether more rows would help."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from lamplighter.cli import options
from lamplighter.cli.options import Import, Json, Out, Quiet, RecipeArgument, Set
from lamplighter.core.errors import LamplighterError

Kind = Annotated[
    Literal["learning-curve", "bias-variance"],
    typer.Argument(metavar="learning-curve|bias-variance", help="What to find out."),
]


def study(
    kind: Kind,
    recipe: RecipeArgument,
    sizes: Annotated[
        str | None, typer.Option("--sizes", metavar="N,N,...", help="Learning curve: numbers of training rows.")
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option("--repeats", min=1, help="Trainings of each size (1), or in all for the variance (10)."),
    ] = None,
    share: Annotated[
        float, typer.Option("--share", min=0.01, max=1, help="Bias and variance: share of the rows of each training.")
    ] = 0.5,
    out: Out = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on in --out.")] = False,
    set: Set = None,
    import_: Import = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a recipe many times on parts of its training rows.

    learning-curve: on more and more rows, with a picture in report.html: would more rows help? bias-variance: on random
    halves: are the models wrong together (bias) or each in its own way (variance)? All are judged on the recipe's
    validation rows; the test split stays shut.
    """
    options.load_imports(import_)
    from lamplighter.core.recipe import Recipe
    from lamplighter.search import bias_variance, learning_curve

    loaded = Recipe.load(recipe, set=set)
    if kind == "learning-curve":
        curve = learning_curve(loaded, _numbers(sizes), repeats or 1, out=out, resume=resume, progress=not quiet)
        found, lines = curve.to_dict(), [*curve.lines(), f"Report: {curve.path / 'report.html'}"]
    else:
        if sizes is not None:
            raise LamplighterError("--sizes is for learning-curve; bias-variance takes --share")
        parts = bias_variance(
            loaded, 10 if repeats is None else repeats, share=share, out=out, resume=resume, progress=not quiet
        )
        found, lines = parts.to_dict(), parts.lines()
    if json:
        options.print_json(found)
    else:
        for line in lines:
            typer.echo(line)


def _numbers(sizes: str | None) -> list[int]:
    try:
        return [int(size) for size in sizes.split(",")] if sizes else []
    except ValueError:
        raise LamplighterError(f"--sizes {sizes}: write whole numbers with commas, as in 100,200,400") from None

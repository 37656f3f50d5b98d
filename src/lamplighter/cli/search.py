"""``lamp search``: the search section of a recipe, carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lamplighter.cli import options
from lamplighter.cli.options import Import, Json, Out, Quiet, RecipeArgument, Set

if TYPE_CHECKING:
    from lamplighter.search.result import SearchResult

_SHOWN = 10


def search(
    recipe: RecipeArgument,
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="How many; instead of the recipe's.")] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0, metavar="SECONDS", help="Begin no trial after so long.")
    ] = None,
    out: Out = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on in --out, also beside another process that searches there.")
    ] = False,
    set: Set = None,
    import_: Import = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Try hyper-parameters: trains the recipe many times, judges on the validation split, never on the test split.

    Writes best.yaml, ready for lamp train, search.json and report.html into a folder of its own; --out names it, by
    default it is runs/<name>/search-<n>.
    """
    options.load_imports(import_)
    from lamplighter.core.recipe import Recipe
    from lamplighter.search import search as carry_out

    result: SearchResult = carry_out(
        Recipe.load(recipe, set=set), out, trials=trials, timeout=timeout or None, resume=resume, progress=not quiet
    )
    if json:
        options.print_json(result.to_dict())
        return
    _print(result)


def _print(result: SearchResult) -> None:
    keys = list(result.best_params)
    rows = [
        [str(trial.number), f"{trial.value:.4f}", *(_text(trial.params.get(key)) for key in keys)]
        for trial in result.ranked()[:_SHOWN]
    ]
    options.print_table("Best trials", ["trial", f"val {result.metric}", *keys], rows)
    if result.importance:
        shares = "  ".join(f"{key} {share:.0%}" for key, share in result.importance.items())
        typer.echo(f"What made the difference: {shares}")
    typer.echo(result.warning())
    typer.echo(f"Report: {result.path / 'report.html'}")
    typer.echo(f"Next: lamp train {result.path / 'best.yaml'}")


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

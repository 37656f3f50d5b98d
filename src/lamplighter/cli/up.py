"""``lamp up``: everything, from the recipe to the running server."""

from __future__ import annotations

import typer

from lamplighter.cli import options
from lamplighter.cli.options import Host, Import, Out, Port, Quiet, RecipeArgument, Set


def up(
    recipe: RecipeArgument,
    out: Out = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    set: Set = None,
    import_: Import = None,
    quiet: Quiet = False,
) -> None:
    """Train, evaluate, export, serve and monitor one recipe."""
    options.load_imports(import_)
    from lamplighter.core.recipe import Recipe
    from lamplighter.run import fit
    from lamplighter.serving.server import check_port
    from lamplighter.serving.server import serve as serve_bundles

    check_port(host, port)  # better now than after an hour of training
    run = fit(Recipe.load(recipe, set=set), out=out, progress=not quiet)
    options.print_scores("Test scores:", run.metrics)
    run.export()
    serve_bundles([run.path / "bundle"], host=host, port=port, echo=typer.echo)

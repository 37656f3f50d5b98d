"""``lamp ensemble``: finished runs become one that answers with all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lamplighter.cli import options
from lamplighter.cli.options import Import, Out, Quiet


def ensemble(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="Finished run directories, or checkpoints within one.")
    ],
    combine: Annotated[
        str, typer.Option("--combine", metavar="HOW", help="soft, hard, weighted or stacking.")
    ] = "soft",
    out: Out = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Default: the first run's name with -ensemble.")
    ] = None,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Trainings of each member for stacking.")] = 5,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing run directory.")] = False,
    import_: Import = None,
    quiet: Quiet = False,
) -> None:
    """Combine finished runs on the same data and splits, and judge them beside each other on the test split."""
    options.load_imports(import_)
    from lamplighter.run.ensembling import ensemble as ensemble_of

    run = ensemble_of(runs, combine, out, name=name, folds=folds, force=force, progress=not quiet)
    options.print_scores("Test scores:", run.metrics)
    typer.echo(f"Next: lamp export {run.path}")

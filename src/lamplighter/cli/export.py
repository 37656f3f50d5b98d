"""``lamp export``: a run becomes a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lamplighter.cli import options
from lamplighter.cli.options import Import


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run directory.")],
    zip: Annotated[
        Path | None, typer.Option("--zip", metavar="FILE", help="Also write the bundle as one .zip.")
    ] = None,
    import_: Import = None,
) -> None:
    """Write RUN/bundle: ONNX graph, weights, preprocessing, reference statistics, parity proof, model card."""
    options.load_imports(import_)
    from lamplighter.run import Run

    bundle = Run(run).export()
    parity = bundle.manifest.parity
    typer.echo(f"Parity: largest difference {parity.max_abs:.1e} over {parity.rows} rows, labels equal")
    typer.echo(f"Bundle: {run / 'bundle'}")
    if zip is not None:
        bundle.zip(zip)
        typer.echo(f"Zip: {zip}")
    typer.echo(f"Next: lamp serve {run / 'bundle'}")

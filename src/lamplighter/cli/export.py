"""``lamp export``: a run becomes a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lamplighter.cli import options
from lamplighter.cli.options import Import
from lamplighter.core.errors import LamplighterError


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run directory.")],
    zip: Annotated[
        Path | None, typer.Option("--zip", metavar="FILE", help="Also write the bundle as one .zip.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="The model's name in URLs. Default: the recipe's.")
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            "--version", metavar="V", help="Shown in every answer. Default: the recipe's or the run's number."
        ),
    ] = None,
    import_: Import = None,
) -> None:
    """Write RUN/bundle: ONNX graph, weights, preprocessing, reference statistics, parity proof, model card."""
    if zip is not None and zip.suffix.lower() != ".zip":
        raise LamplighterError(f"--zip {zip}: the name of the file must end in .zip")
    options.load_imports(import_)
    from lamplighter.run import Run

    chosen = {"name": name, "version": version}
    bundle = Run(run).export(**{key: word for key, word in chosen.items() if word is not None})
    manifest, parity = bundle.manifest, bundle.manifest.parity
    allowed = f"{parity.atol:g} + {parity.rtol:g} of the largest number in a row"
    typer.echo(
        f"Parity: torch and ONNX differ by {parity.max_abs:.1e} at most over {parity.rows} rows (allowed: {allowed})"
    )
    typer.echo(f"Bundle: {bundle.path} ({manifest.name}, version {manifest.version})")
    if zip is not None:
        bundle.zip(zip)
        typer.echo(f"Zip: {zip}")
    typer.echo(f"Next: lamp serve {bundle.path}")

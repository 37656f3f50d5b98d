"""``lamp predict``: a bundle over a file or a folder, streaming, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lamplighter.cli import options
from lamplighter.cli.options import Import, Quiet


def predict(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle folder or .zip.")],
    input: Annotated[Path, typer.Argument(metavar="FILE|FOLDER", help="CSV, Parquet, JSONL, or images.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FILE", help="CSV, JSONL or Parquet, by its ending; of a segmentation also a folder."
        ),
    ],
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Write what is wrong with a bad row into a column 'error' and go on.")
    ] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write the probability of each class.")
    ] = False,
    import_: Import = None,
    quiet: Quiet = False,
) -> None:
    """Predict every row of a file or every image of a folder.

    A segmentation writes masks and overlays when --out is a folder, and shares of the classes when it is a table.
    """
    options.load_imports(import_)
    from lamplighter.bundle.runtime import load_bundle
    from lamplighter.bundle.runtime.files import predict_file
    from lamplighter.bundle.runtime.mask_folders import predict_masks
    from lamplighter.bundle.runtime.writers import SUFFIXES

    loaded = load_bundle(bundle)
    if loaded.manifest.output.kind == "segmentation" and out.suffix.lower() not in SUFFIXES:
        count = predict_masks(loaded, input, out, skip_bad=skip_bad, progress=not quiet)
        typer.echo(f"{count:,} masks: {out}")
        return
    count = predict_file(
        loaded,
        input,
        out,
        on_error="skip" if skip_bad else "raise",
        probabilities=probabilities,
        progress=not quiet,
    )
    typer.echo(f"{count:,} predictions: {out}")

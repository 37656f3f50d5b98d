"""``lamp evaluate``: scores of a run, or of a bundle on a labelled file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lamplighter.cli import options
from lamplighter.cli.options import Import, Json, Quiet


def evaluate(
    path: Annotated[Path, typer.Argument(metavar="RUN|BUNDLE", help="A run directory or a bundle.")],
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FILE|FOLDER", help="Labelled rows to score a bundle on.")
    ] = None,
    json: Json = False,
    import_: Import = None,
    quiet: Quiet = False,
) -> None:
    """Scores with n and 95% interval.

    Of a run: the scores on its own test split, and how often that was opened. Of a bundle with --data: scores on a CSV
    or Parquet file with the target column, or on a folder of images with a folder per class.
    """
    options.load_imports(import_)
    if (path / "recipe.yaml").is_file() and data is None:
        from lamplighter.run import Run

        run = Run(path)
        title, scores = f"Test scores ({_openings(run.history)}):", run.metrics
    else:
        from lamplighter.bundle.runtime import load_bundle
        from lamplighter.bundle.runtime.evaluation import evaluate_file

        bundle = load_bundle(path / "bundle" if (path / "recipe.yaml").is_file() else path)
        if data is None:
            title, scores = "Test scores from the bundle's manifest:", bundle.manifest.metrics
        else:
            title, scores = f"Scores on {data}:", evaluate_file(bundle, data, progress=not quiet)
    if json:
        options.print_json({name: score.model_dump() for name, score in scores.items()})
    else:
        options.print_scores(title, scores)


def _openings(history: list[dict[str, Any]]) -> str:
    """How often the diary says the test split was opened: each look makes its scores a little less honest."""
    times = sum(record.get("event") == "test_opened" for record in history)
    return f"the test split was opened {'once' if times == 1 else f'{times} times'}"

"""``lamp evaluate``: scores of a run, of a bundle on a labelled file, or of a recipe by cross-validation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lamplighter.cli import options
from lamplighter.cli.options import Import, Json, Out, Quiet, Set
from lamplighter.core.errors import LamplighterError

if TYPE_CHECKING:
    from lamplighter.search.cross_validation import CrossValidation


def evaluate(
    path: Annotated[
        Path, typer.Argument(metavar="RUN|BUNDLE|RECIPE", help="A run directory, a bundle, or, with --folds, a recipe.")
    ],
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FILE|FOLDER", help="Labelled rows to score a bundle on.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="train|val|test", help="Of a run: judge this split now.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="With --split test: open it once more; each look makes it less honest.")
    ] = False,
    by: Annotated[
        list[str] | None, typer.Option("--by", metavar="COLUMN", help="A score for each value of a column.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help="A metric of the catalog, for instance {name: f_beta, beta: 2}."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="RUN|BUNDLE", help="How far another model differs on the same rows."),
    ] = None,
    mc_dropout: Annotated[
        int | None,
        typer.Option(
            "--mc-dropout", metavar="SAMPLES", min=2, help="Of a run: answer each validation row so often, dropout on."
        ),
    ] = None,
    folds: Annotated[
        int | None, typer.Option("--folds", min=2, metavar="K", help="Of a recipe: k-fold cross-validation.")
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Divide into folds anew so many times.")] = 1,
    gap: Annotated[int, typer.Option("--gap", min=0, help="Rows left out before each fold in time.")] = 0,
    nested: Annotated[
        bool, typer.Option("--nested", help="Carry out the recipe's search inside every fold and judge that.")
    ] = False,
    out: Out = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a cross-validation in --out.")] = False,
    set: Set = None,
    json: Json = False,
    import_: Import = None,
    quiet: Quiet = False,
) -> None:
    """Scores with n and 95% interval.

    Of a run: the scores on its own test split, and how often that was opened. Of a bundle with --data: scores on a CSV
    or Parquet file with the target column, or on a folder of images with a folder per class. Of a recipe with --folds:
    every fold is trained and judged on rows it never saw; the recipe's test split stays shut.

    With --by, --metric or --against: of a run on its validation split, unless --split says otherwise.
    """
    options.load_imports(import_)
    if folds is not None:
        _cross_validate(str(path), folds, repeats, gap, nested, out, resume, set, json, quiet)
        return
    if mc_dropout:
        _monte_carlo(path, mc_dropout, json)
        return
    if by or metric or against is not None:
        from lamplighter.cli.judging import look_closer

        look_closer(path, data, split, again, by or (), metric or (), against, json, quiet)
        return
    said: list[str] = []
    if (path / "recipe.yaml").is_file() and data is None:
        from lamplighter.run import Run

        run = Run(path)
        if split is None:
            title, scores = f"Test scores ({_openings(run.history)}):", run.metrics
            said = run.overfitting.lines() if run.overfitting else []
        else:
            if split not in ("train", "val", "test"):
                raise LamplighterError(f"--split {split}: must be train, val or test")
            scores = run.evaluate(split, again=again)
            opened = f" ({_openings(run.history)})" if split == "test" else ""
            title = f"Scores on the {split} split{opened}:"
    else:
        if split is not None:
            raise LamplighterError("--split is for run directories; a bundle has no rows")
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
        for line in said:
            typer.echo(line)


def _cross_validate(
    recipe: str,
    folds: int,
    repeats: int,
    gap: int,
    nested: bool,
    out: Path | None,
    resume: bool,
    set: list[str] | None,
    json: bool,
    quiet: bool,
) -> None:
    from lamplighter.core.recipe import Recipe
    from lamplighter.search import cross_validate

    result: CrossValidation = cross_validate(
        Recipe.load(recipe, set=set),
        folds,
        repeats,
        gap=gap,
        nested=nested,
        out=out,
        resume=resume,
        progress=not quiet,
    )
    if json:
        options.print_json(result.to_dict())
        return
    typer.echo(f"{result.description}. Means over folds:")
    width = max(len(name) for name in result.scores)
    for name, score in result.scores.items():
        typer.echo(f"  {name:<{width}}  {score}")
    typer.echo(f"{result.about_interval}.")
    typer.echo(f"Report: {result.path / 'report.html'}")


def _monte_carlo(path: Path, samples: int, json: bool) -> None:
    """Monte Carlo dropout on the validation split: the test split stays closed."""
    from lamplighter.run import Run

    scores, spread = Run(path).mc_dropout(samples)
    if json:
        found = {name: score.model_dump() for name, score in scores.items()}
        options.print_json({"scores": found, "uncertainty": spread})
        return
    options.print_scores(f"Validation scores of the mean of {samples} answers with dropout on:", scores)
    typer.echo("Uncertainty, mean over the rows:")
    for name, value in spread.items():
        typer.echo(f"  {name:<18}  {value:.4f}")


def _openings(history: list[dict[str, Any]]) -> str:
    """How often the diary says the test split was opened: each look makes its scores a little less honest."""
    times = sum(record.get("event") == "test_opened" for record in history)
    return f"the test split was opened {'once' if times == 1 else f'{times} times'}"

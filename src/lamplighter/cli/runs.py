"""``lamp runs``: the runs there are; two or more of them side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lamplighter.cli import options
from lamplighter.cli.options import Json

if TYPE_CHECKING:
    from lamplighter.evaluate.runs import Summary


def runs(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN]...", help="Runs to compare; or one folder of runs to list.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the comparison with its curves as a page.")
    ] = None,
    json: Json = False,
) -> None:
    """List runs (by default those in runs/), or compare some: scores, differences of the recipes, curves."""
    from lamplighter.core.errors import RunError
    from lamplighter.evaluate import runs as side_by_side

    given = paths or [Path("runs")]
    if len(given) == 1:
        if html is not None:
            raise RunError("--html compares runs; name at least two of them")
        found, broken = side_by_side.find(given[0])
        if not found and not broken:
            raise RunError(f"{given[0]}: no runs in it; train one with: lamp train digits")
        for line in broken:
            typer.echo(f"warning: {line}", err=True)
        if json:
            options.print_json([run.to_dict() for run in found])
        else:
            _list(found)
        return
    chosen = [side_by_side.Summary.read(path) for path in given]
    if html is not None:
        from lamplighter.evaluate import comparison_page

        comparison_page.write(html, chosen)
    if json:
        found_differences = side_by_side.differences(chosen)
        found_curves = side_by_side.curves(chosen)
        options.print_json(
            {
                "runs": [run.to_dict() for run in chosen],
                "differences": found_differences,
                "curves": {name: [_finite(run) for run in values] for name, values in found_curves.items()},
            }
        )
        return
    _compare(chosen)
    if html is not None:
        typer.echo(f"\nwritten to {html}")


def _list(found: list[Summary]) -> None:
    rows = []
    for run in found:
        metric, best = run.monitored
        score = run.test.get(metric)
        tested = f"{score.value:.4f} ({score.low:.4f} to {score.high:.4f})" if score else "-"
        rows.append(
            [
                str(run.path),
                run.status,
                run.recipe["model"]["name"],
                run.recipe["data"]["name"],
                str(len(run.epochs)),
                f"{run.seconds:.0f} s",
                metric,
                "-" if best is None else f"{best:.4f}",
                tested,
            ]
        )
    columns = ["run", "status", "model", "data", "epochs", "time", "metric", "best validation", "test (95% interval)"]
    options.print_table("Runs", columns, rows)


def _compare(chosen: list[Summary]) -> None:
    from lamplighter.evaluate import runs as side_by_side

    labels = side_by_side.names(chosen)
    metrics = dict.fromkeys(name for run in chosen for name in (run.test or run.val))
    rows = [["split", *("test" if run.test else "validation" for run in chosen)]]
    for name in metrics:
        scores = [(run.test or run.val).get(name) for run in chosen]
        rows.append([name, *(f"{s.value:.4f} ({s.low:.4f} to {s.high:.4f})" if s else "-" for s in scores)])
    rows.append(["epochs", *(str(len(run.epochs)) for run in chosen)])
    rows.append(["seconds", *(f"{run.seconds:.1f}" for run in chosen)])
    if not sys.stdout.isatty():
        rows.insert(0, ["", *labels])
    options.print_table("Scores (95% interval)", ["", *labels], rows)
    typer.echo("")
    changed = [[key, *values] for key, values in side_by_side.differences(chosen).items()]
    if changed:
        options.print_table("Differences of the recipes", ["key", *labels], changed)
    else:
        typer.echo("the recipes are the same")
    typer.echo("")
    lines = []
    for name, values in side_by_side.curves(chosen).items():
        if name in ("train/loss", "val/loss", f"val/{chosen[0].monitored[0]}"):
            lines.append([name, *map(sparkline, values)])
    options.print_table("Curves, epoch by epoch", ["", *labels], lines)


def sparkline(values: list[float], width: int = 40) -> str:
    """A curve in one line of text, each run on its own scale; a gap where a value is missing.

    >>> sparkline([1.0, 0.5, 0.25, 0.125, 0.0])
    '█▅▃▂▁ 1 -> 0'
    """
    import math

    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "-"
    low, high = min(finite), max(finite)
    step = max(1, math.ceil(len(values) / width))
    bars = "▁▂▃▄▅▆▇█"
    marks = [
        bars[round((value - low) / (high - low) * 7) if high > low else 3] if math.isfinite(value) else " "
        for value in values[::step]
    ]
    return f"{''.join(marks)} {finite[0]:.4g} -> {finite[-1]:.4g}"


def _finite(values: list[float]) -> list[float | None]:
    import math

    return [value if math.isfinite(value) else None for value in values]

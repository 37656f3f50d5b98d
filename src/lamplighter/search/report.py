"""``report.html`` of a search and of a cross-validation: one self-contained page."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

import lamplighter.evaluate
from lamplighter.core import files, yaml
from lamplighter.core.recipe import Search
from lamplighter.search import charts
from lamplighter.search.result import SearchResult, Trial

if TYPE_CHECKING:
    from lamplighter.search.cross_validation import CrossValidation

_FOLDERS = [Path(__file__).parent / "templates", Path(lamplighter.evaluate.__path__[0]) / "templates"]
_PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_FOLDERS),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ROWS = 100
_STATES = ("complete", "pruned", "failed")


def write_search_report(path: Path, result: SearchResult, settings: Search) -> None:
    """Write the page of a search.

    Args:
        path: the HTML file.
        result: what was found.
        settings: the recipe's ``search`` section, with the number of trials that was asked for.
    """
    ranked = result.ranked()
    slices = []
    for key, parameter in settings.space.items():
        known = [trial for trial in ranked if key in trial.params]
        if len(known) > 1:
            x, y = [trial.params[key] for trial in known], [trial.value or 0.0 for trial in known]
            log = parameter.kind.startswith("log")
            about = f"{result.metric} of each trial against {key}"
            slices.append({"key": key, "svg": charts.slice_chart(x, y, 0, about, log, parameter.choice or ())})
    page = _PAGES.get_template("search.html").render(
        name=result.best_recipe.name,
        made=_now(),
        result=result,
        settings=settings,
        counts={each: sum(trial.state == each for trial in result.trials) for each in _STATES},
        best=[(key, _text(value)) for key, value in result.best_params.items()],
        history=_history(result),
        slices=slices,
        importance=sorted(result.importance.items(), key=lambda item: -item[1]),
        keys=list(settings.space),
        rows=[_row(trial, list(settings.space)) for trial in [*ranked, *_without_value(result)][:_ROWS]],
        left_out=max(0, len(result.trials) - _ROWS),
        warning=result.warning(),
        recipe=yaml.dump(result.best_recipe.to_dict()),
    )
    files.write_text(path, page)


def write_cross_validation_report(path: Path, result: CrossValidation) -> None:
    """Write the page of a cross-validation.

    Args:
        path: the HTML file.
        result: its scores.
    """
    first = result.scores[result.metric]
    scores = [first, *(score for name, score in result.scores.items() if name != result.metric)]
    about = f"{result.metric} of each fold, the mean and its interval"
    page = _PAGES.get_template("cross_validation.html").render(
        name=result.recipe.name,
        made=_now(),
        result=result,
        scores=scores,
        chart=charts.folds_chart(first.values, first.mean, first.low, first.high, about),
        recipe=yaml.dump(result.recipe.to_dict()),
    )
    files.write_text(path, page)


def _history(result: SearchResult) -> dict[str, Any]:
    values = [trial.value for trial in result.trials]
    curves = [trial.reports for trial in result.trials if trial.reports]
    best = next((i for i, trial in enumerate(t for t in result.trials if t.reports) if trial is result.best_trial), 0)
    about = f"validation {result.metric} of each trial and the best so far"
    drawn: Markup | None = None
    if curves:
        drawn = charts.curves_chart(curves, best, f"validation {result.metric} over the epochs of each trial")
    numbers = [trial.number for trial in result.trials]
    return {"svg": charts.history_chart(numbers, values, result.mode, about), "curves": drawn}


def _row(trial: Trial, keys: list[str]) -> dict[str, Any]:
    state = {"complete": "", "pruned": f"pruned after epoch {trial.epochs}", "failed": trial.error or "interrupted"}
    return {
        "number": trial.number,
        "value": "" if trial.value is None else f"{trial.value:.4f}",
        "params": [_text(trial.params[key]) if key in trial.params else "" for key in keys],
        "epochs": trial.epochs,
        "seconds": f"{trial.seconds:.1f} s",
        "state": state.get(trial.state, trial.state),
    }


def _without_value(result: SearchResult) -> list[Trial]:
    return [trial for trial in result.trials if trial.value is None]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")

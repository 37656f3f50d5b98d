"""``report.html``: one self-contained page about a trained model, for someone who is new to deep learning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from lamplighter.core import files, yaml
from lamplighter.core.signature import Signature
from lamplighter.evaluate.comparison import Comparison, compared
from lamplighter.evaluate.glossary import figure, interval, meaning, order
from lamplighter.evaluate.learning import learning
from lamplighter.evaluate.overfitting import Verdict
from lamplighter.evaluate.views import Judged, view_of
from lamplighter.metrics.score import Score

_PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_report(
    path: Path,
    *,
    recipe: dict[str, Any],
    history: list[dict[str, Any]],
    outputs: dict[str, np.ndarray],
    scores: dict[str, Score],
    signature: Signature,
    raw: Callable[[np.ndarray], list[Any]],
    temperature: float = 1.0,
    split: str = "test",
    comparison: Comparison | None = None,
    validation: dict[str, np.ndarray] | None = None,
    threshold: float | None = None,
    positive: int = 1,
    fitted: Verdict | None = None,
    kind: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: the HTML file.
        recipe: the resolved recipe as plain data.
        history: records of ``metrics.jsonl``; may be empty.
        outputs: of the rows with a target, in the order that ``raw`` knows: ``logits`` (N, K) before the temperature
            and ``y`` (N,); or ``value`` and ``y``, (N, T).
        scores: with intervals, from calibrated outputs.
        signature: names of inputs, targets and labels.
        raw: positions among the N rows -> those rows as a client would send them.
        temperature: fitted on validation rows; 1 for none.
        split: name of the split that the outputs are of.
        comparison: the model beside others on the same rows.
        validation: ``logits`` and ``y`` of the validation rows, on which thresholds for two classes are chosen.
        threshold: of two classes, the probability from which the positive one is answered; None: the likelier one is.
        positive: index of the positive class.
        fitted: whether the model is too simple, too eager, or about right.
        kind: of answer, see `lamplighter.evaluate.views`; None: told from the outputs.
        extra: what the task has to show besides its outputs.
    """
    kind = kind or ("classification" if "logits" in outputs else "regression")
    n = len(next(iter(outputs.values())))
    view = view_of(
        kind, Judged(outputs, signature, raw, recipe, temperature, validation, threshold, positive, extra or {})
    )
    curves = learning(history, recipe, kind)
    page = _PAGES.get_template("report.html").render(
        name=recipe.get("name", "model"),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        split=split,
        n=n,
        kind=kind,
        labels=signature.labels,
        targets=[target.name for target in signature.targets],
        scores=_scores(scores, kind),
        curves=curves,
        facts=_facts(recipe, curves) + _weights(history),
        recipe=yaml.dump(recipe),
        view=view,
        compared=compared(comparison, kind) if comparison else None,
        fitted=_fitted(fitted) if fitted else None,
    )
    files.write_text(path, page)


def _scores(scores: dict[str, Score], kind: str) -> list[dict[str, Any]]:
    """Rows of the table of scores; ``bar`` places the interval between 0 and 1 where the number lives there."""
    rows = []
    for name in order(list(scores), kind):
        score, words = scores[name], meaning(name, kind)
        bar = None
        if (
            min(score.low, score.value) >= 0
            and max(score.high, score.value) <= 1
            and name not in ("loss", "mae", "rmse", "mape")
        ):
            low, high = min(score.low, score.value), max(score.high, score.value)
            bar = {"left": f"{100 * low:.2f}", "width": f"{100 * (high - low):.2f}", "at": f"{100 * score.value:.2f}"}
        rows.append(
            {
                "name": name,
                "title": words.title,
                "text": words.text,
                "value": figure(score.value, words.style),
                "interval": interval(score, words.style),
                "level": f"{score.level:.0%}",
                "n": f"{score.n:,}",
                "bar": bar,
                "main": words.main,
            }
        )
    return rows


def _fitted(fitted: Verdict) -> dict[str, Any]:
    """Three bars of one scale: loss of seen rows, of unseen rows, and of the trivial model."""
    losses = {
        "training rows": fitted.train_loss,
        "validation rows": fitted.val_loss,
        "always the same answer": fitted.baseline_loss,
    }
    longest = max(losses.values())
    bars = [
        {"name": name, "value": figure(loss), "width": f"{100 * max(loss, 0) / longest:.2f}"}
        for name, loss in losses.items()
    ]
    return {"title": fitted.title, "kind": fitted.kind, "bars": bars, "advice": fitted.advice, "rows": fitted.rows}


def _facts(recipe: dict[str, Any], curves: dict[str, Any] | None) -> list[tuple[str, str]]:
    """What was trained, in a few words; what a recipe does not say is left out."""
    train = recipe.get("train") or {}
    data = recipe.get("data") or {}
    runs = _finished_runs(recipe.get("task") or {})
    if runs:
        task = _component(recipe.get("task"))
        return [("data", _component(data, leave_out=("batch_size",))), ("task", task), ("members", ", ".join(runs))]
    facts = [
        ("data", _component(data, leave_out=("batch_size",))),
        ("model", _component(recipe.get("model"))),
        ("task", _component(recipe.get("task"))),
        ("optimizer", _component(train.get("optimizer"))),
        ("schedule", _component(train.get("schedule"))),
        ("batch size", str(data.get("batch_size", ""))),
        ("precision", str(train.get("precision", ""))),
        ("seed", str(recipe.get("seed", ""))),
    ]
    if curves:
        planned = train.get("epochs")
        epochs = f"{curves['epochs']} of {planned}" if planned else str(curves["epochs"])
        facts += [("epochs", epochs), ("training time", _duration(curves["seconds"]))]
    return [(name, text) for name, text in facts if text]


def _weights(history: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Where the weights came from that training began with, and what was done to them."""
    facts = []
    for record in history:
        if record.get("event") == "transfer":
            left = [*record["missing"], *record["mismatched"]]
            parts = [f"{record['loaded']} tensors of {record['source']}"]
            parts += [f"at random: {', '.join([*record['new'], *left])}"] if record["new"] or left else []
            facts.append(("began with", "; ".join([*parts, *record["notes"]])))
    return facts


def _finished_runs(task: dict[str, Any]) -> list[str]:
    """The runs that an ensemble was made of; none when it was trained as one."""
    members = task.get("members") if task.get("name") == "ensemble" else None
    runs = [member.get("run") for member in members] if isinstance(members, list) else []
    return [run for run in runs if run]


def _component(component: dict[str, Any] | None, leave_out: tuple[str, ...] = ()) -> str:
    """``adamw (lr 0.003, weight_decay 0.05)``; nested settings stay in the recipe below."""
    if not component:
        return ""
    simple = {
        key: value
        for key, value in component.items()
        if key not in ("name", *leave_out) and isinstance(value, str | int | float) and len(str(value)) <= 40
    }
    settings = ", ".join(
        f"{key} {str(value).lower() if isinstance(value, bool) else value}" for key, value in simple.items()
    )
    return f"{component.get('name', '')} ({settings})" if settings else str(component.get("name", ""))


def _duration(seconds: float) -> str:
    """``3.2 s``, ``4 min 10 s`` or ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"

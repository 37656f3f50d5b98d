"""``doctor.html``: one self-contained page about a recipe that was not trained yet."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import jinja2

import lamplighter.evaluate
from lamplighter.checkup import charts
from lamplighter.checkup.result import Checkup
from lamplighter.core import files, yaml
from lamplighter.evaluate.glossary import figure, meaning
from lamplighter.evaluate.lr_picture import lr_chart

_FOLDERS = [Path(__file__).parent / "templates", Path(lamplighter.evaluate.__path__[0]) / "templates"]
_PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_FOLDERS),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_WORDS = {"ok": "ok", "look": "look at this", "wrong": "wrong"}


def write_page(path: Path, checkup: Checkup) -> None:
    """Write the page, whole or not at all.

    Args:
        path: the HTML file; its folder must exist.
        checkup: what was found.
    """
    classes = list(checkup.data["classes"].items())
    most = max((count for _, count in classes), default=1)
    levels: list[str] = [check.level for check in checkup.checks]
    page = _PAGES.get_template("doctor.html").render(
        name=checkup.recipe["name"],
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        checks=checkup.checks,
        words=_WORDS,
        counts={level: levels.count(level) for level in _WORDS},
        data=checkup.data,
        classes=[(label, f"{count:,}", f"{100 * count / max(most, 1):.1f}") for label, count in classes],
        baseline=_baseline(checkup),
        model=checkup.model,
        one=checkup.one_batch,
        one_chart=charts.one_batch_chart(checkup.one_batch),
        flow=checkup.flow,
        layers=[_layer(layer) for layer in checkup.flow.layers],
        flow_chart=charts.gradients_chart(checkup.flow),
        dead=[(e.layer, e.function, f"{e.units:,}", f"{e.dead:,}", f"{e.flat:.0%}") for e in checkup.dead],
        curve=checkup.curve,
        curve_chart=lr_chart(checkup.curve) if checkup.curve.losses else "",
        suggestions=[(rule, f"{lr:.2g}", rule == checkup.curve.rule) for rule, lr in checkup.curve.suggestions.items()],
        rates=checkup.rates,
        rates_chart=charts.rates_chart(checkup.rates) if checkup.rates else "",
        association=checkup.association,
        schedule=checkup.schedule[1],
        schedule_chart=charts.schedule_chart(checkup.schedule[0]),
        cost=_cost(checkup),
        recipe=yaml.dump(checkup.recipe),
    )
    files.write_text(path, page)


def duration(seconds: float) -> str:
    """A time as a person would say it.

    >>> duration(0.0123), duration(42.0), duration(200), duration(9000)
    ('12 ms', '42 s', '3 min 20 s', '2 h 30 min')
    """
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(count: int) -> str:
    """Bytes as a person would say them.

    >>> size(1234), size(283032), size(940081152)
    ('1.2 kB', '283 kB', '940 MB')
    """
    number = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.1f} {unit}" if number < 10 and unit != "bytes" else f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _baseline(checkup: Checkup) -> list[tuple[str, str]]:
    kind = "classification" if checkup.data["classes"] else "regression"
    wanted = ("loss", "accuracy") if kind == "classification" else ("loss", "mae", "rmse")
    found = checkup.data["baseline"]
    words = {name: meaning(name, kind) for name in wanted if name in found}
    return [(word.title, figure(found[name], word.style)) for name, word in words.items()]


def _layer(layer: object) -> tuple[str, str, str, str, str]:
    def short(value: float | None) -> str:
        return "none" if value is None else f"{value:.2g}"

    gradient, update = getattr(layer, "gradient", None), getattr(layer, "update", None)
    return layer.layer, layer.kind, short(layer.weight), short(gradient), short(update)  # type: ignore[attr-defined]


def _cost(checkup: Checkup) -> list[tuple[str, str]]:
    cost = checkup.cost
    facts = [
        ("one step", duration(cost.step_seconds)),
        ("one epoch", duration(cost.epoch_seconds)),
        (f"{cost.epochs} epochs", duration(cost.total_seconds)),
        ("weights", size(cost.weight_bytes)),
        ("optimizer state", size(cost.optimizer_bytes)),
    ]
    return [*facts, ("most memory at once so far", size(cost.peak_bytes))] if cost.peak_bytes else facts

"""The page as a reader gets it: whole, self-contained, escaped, and true to the numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.evaluate.report import write_report
from lamplighter.metrics import classification, regression
from lamplighter.metrics.calibration import softmax

XSS = "<script>alert('x')</script>&\"$_{"
VOID = {"meta", "img", "br", "path", "use", "link", "hr"}
RECIPE: dict[str, Any] = {
    "name": "demo",
    "seed": 3,
    "data": {"name": "digits", "batch_size": 64},
    "model": {"name": "mlp", "width": 32},
    "task": {"name": "classification"},
    "train": {
        "epochs": 5,
        "optimizer": {"name": "adamw", "lr": 0.003},
        "monitor": {"metric": "accuracy", "mode": "max"},
    },
}
HISTORY = [
    {"event": "precision", "step": 0},
    *({"event": "epoch", "epoch": e, "step": e, "seconds": 30.0, "train/loss": 2 / e, "val/loss": 2.1 / e,
       "val/accuracy": 0.9 - abs(e - 3) / 10, "lr": 0.1} for e in range(1, 6)),
]  # fmt: skip


class Page(HTMLParser):
    """Collects text and attributes, and checks that tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open, f"left open: {self.open}"
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href"):
                self.addresses.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


def _signature(kind: str, labels: tuple[str, ...] = (), targets: tuple[str, ...] = ("y",)) -> Signature:
    if kind == "image":
        inputs: tuple[Column, ...] = (Column(name="image", kind="image", shape=(8, 8, 1)),)
    else:
        inputs = (Column(name="age", kind="numeric"), Column(name=f"job {XSS}", kind="category", categories=("a",)))
    columns = tuple(Column(name=t, kind="category" if labels else "numeric", categories=labels) for t in targets)
    return Signature(inputs=inputs, tensors=(TensorSpec(name="x", dtype="uint8", shape=(1, 8, 8)),), targets=columns)


def _pictures(positions: np.ndarray) -> list[Any]:
    return [np.full((8, 8), position % 256, dtype=np.uint8) for position in positions]


def _rows(positions: np.ndarray) -> list[Any]:
    return [{"age": 20.0 + int(position), f"job {XSS}": f"clerk {position} x"} for position in positions]


def _clerks(positions: np.ndarray) -> list[Any]:
    return [{"age": None, f"job {XSS}": f"clerk {XSS}"} for _ in positions]


def _answers(n: int, k: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(n, k))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1) if n else np.empty(0, dtype=np.int64)
    return {"logits": z.astype(np.float32), "y": y}


def _classification(
    path: Path,
    labels: tuple[str, ...],
    outputs: dict[str, np.ndarray],
    raw: Callable[[np.ndarray], list[Any]] = _pictures,
    kind: str = "image",
    history: list[dict[str, Any]] = HISTORY,
    temperature: float = 1.3,
    **more: Any,
) -> Page:
    write_report(
        path / "report.html",
        recipe=RECIPE,
        history=history,
        outputs=outputs,
        scores=classification.scores(softmax(outputs["logits"], temperature), outputs["y"]),
        signature=_signature(kind, labels),
        raw=raw,
        temperature=temperature,
        **more,
    )
    return _read(path)


def _regression(path: Path, value: np.ndarray, y: np.ndarray, targets: tuple[str, ...], kind: str = "table") -> Page:
    write_report(
        path / "report.html",
        recipe={**RECIPE, "task": {"name": "regression"}},
        history=[],
        outputs={"value": value, "y": y},
        scores=regression.scores(value, y),
        signature=_signature(kind, (), targets),
        raw=_pictures if kind == "image" else _rows,
        temperature=1.0,
    )
    return _read(path)


def _read(path: Path) -> Page:
    file = path / "report.html"
    assert file.stat().st_size < 1_500_000
    assert [entry.name for entry in path.iterdir() if entry.suffix == ".tmp"] == []
    page = Page(file.read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in page.addresses)
    assert len(page.ids) == len(set(page.ids))
    targets = {address[1:] for address in page.addresses if address.startswith("#")}
    assert targets <= set(page.ids)
    return page


def test_a_classification_of_pictures(tmp_path: Path) -> None:
    outputs = _answers(300, 10)
    page = _classification(tmp_path, tuple("abcdefghij"), outputs)
    right = int((outputs["logits"].argmax(axis=1) == outputs["y"]).sum())
    assert f"the right one of 10 classes for {right} of 300 rows" in page.text
    assert f"{right / 300:.1%}" in page.text
    assert page.tags.count("img") == 24
    assert page.tags.count("svg") == 4  # lamp, two learning curves, calibration
    assert {"scores", "learning", "confusion", "worst", "calibration", "classes", "recipe"} <= set(page.ids)
    assert "The weights of epoch 3 are kept." in page.text and "best there: 90.0%" in page.text
    assert "adamw (lr 0.003)" in page.text and "5 of 5" in page.text and "2 min 30 s" in page.text


def test_every_cell_of_the_matrix_is_in_the_page(tmp_path: Path) -> None:
    outputs = {"logits": np.log(np.array([[9, 1.0]] * 70 + [[1, 9.0]] * 53)), "y": np.array([0] * 60 + [1] * 63)}
    page = _classification(tmp_path, ("cat", "dog"), outputs)
    text = (tmp_path / "report.html").read_text()
    for title in (
        "true cat, answered cat: 60 of 60",
        "true dog, answered cat: 10 of 63",
        "true dog, answered dog: 53 of 63",
    ):
        assert title in text
    assert "dog taken for cat 10 of 63" in page.text
    assert "15.9% of row" in page.text


def test_many_classes_show_the_most_confused_pairs_instead_of_a_matrix(tmp_path: Path) -> None:
    k = 40
    y = np.repeat(np.arange(k), 5)
    answered = y.copy()
    answered[y == 7] = 9
    answered[:2] = 3
    page = _classification(
        tmp_path, tuple(f"class {i}" for i in range(k)), {"logits": 9.0 * np.eye(k)[answered], "y": y}
    )
    text = (tmp_path / "report.html").read_text()
    assert '<table class="matrix' not in text
    assert page.text.index("class 7 class 9 5 of 5 100.0%") < page.text.index("class 0 class 3 2 of 5 40.0%")


@pytest.mark.parametrize(("k", "rows"), [(31, 31), (150, 100)])
def test_the_table_of_classes_has_the_weakest_first_and_an_end(tmp_path: Path, k: int, rows: int) -> None:
    y = np.repeat(np.arange(k), 4)
    answered = y.copy()
    answered[y == 20] = 21
    page = _classification(tmp_path, tuple(f"c{i}." for i in range(k)), {"logits": 9.0 * np.eye(k)[answered], "y": y})
    listed = re.findall(r"(c\d+\.) 4 ", page.text[page.text.index("Each class") :])
    assert len(listed) == rows and listed[:2] == ["c20.", "c21."]
    assert ("stronger classes are not shown" in page.text) == (k > rows)


def test_names_from_data_are_escaped_everywhere(tmp_path: Path) -> None:
    page = _classification(tmp_path, (XSS, "b"), _answers(60, 2), raw=_clerks, kind="table", split=f"test {XSS}")
    assert XSS in page.text and f"job {XSS}" in page.text and f"clerk {XSS}"[:30] in page.text
    text = (tmp_path / "report.html").read_text()
    assert "<script" not in text and "&lt;script&gt;" in text
    assert "default-src 'none'" in text


def test_the_worst_error_stands_first_with_its_own_row(tmp_path: Path) -> None:
    outputs = _answers(200, 3)
    outputs["logits"][123] = [30, 0, 0]
    outputs["y"][123] = 2
    page = _classification(tmp_path, ("a", "b", "c"), outputs, raw=_rows, kind="table", temperature=1.0)
    worst = page.text[page.text.index("Worst errors") :]
    assert worst.index("clerk 123") == worst.index("clerk")
    assert "c a 100.0% 143 clerk 123" in worst


def test_without_mistakes_the_least_certain_answers_are_shown(tmp_path: Path) -> None:
    outputs = {"logits": np.eye(3)[np.arange(30) % 3] * np.arange(1, 31)[:, None], "y": np.arange(30) % 3}
    page = _classification(tmp_path, ("a", "b", "c"), outputs, raw=_rows, kind="table")
    assert "No answer was wrong." in page.text and page.text.index("clerk 0 ") < page.text.index("clerk 1 ")


def test_calibration_is_shown_before_and_after_only_when_a_temperature_is_applied(tmp_path: Path) -> None:
    outputs = _answers(500, 4)
    outputs["logits"] *= 3
    scaled = _classification(tmp_path, tuple("abcd"), outputs, temperature=3.0)
    assert "too sure of itself" not in scaled.text and "with temperature 3" in scaled.text
    plain = _classification(tmp_path, tuple("abcd"), outputs, temperature=1.0)
    assert "it is too sure of itself" in plain.text and "with temperature" not in plain.text


@pytest.mark.parametrize(
    "history",
    [
        [],
        HISTORY[:2],
        [{"event": "epoch", "epoch": 1, "val/loss": None, "val/accuracy": float("nan"), "train/loss": None}],
        [{"event": "epoch", "epoch": e, "val/loss": v} for e, v in enumerate([1.0, float("nan"), 2.0])],
        [*HISTORY, {"event": "stop", "epoch": 5, "reason": "no better accuracy for 3 epochs"}, HISTORY[2]],
    ],
    ids=["none", "one epoch", "all NaN", "a gap", "stopped"],
)  # fmt: skip
def test_any_history_gives_a_page(tmp_path: Path, history: list[dict[str, Any]]) -> None:
    page = _classification(tmp_path, ("a", "b"), _answers(50, 2), history=history)
    assert ("learning" in page.ids) == bool(history)
    assert ("no better accuracy for 3 epochs" in page.text) == (len(history) > 6)


def test_a_regression_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(100, 20, size=(150, 1))
    value = y + rng.normal(size=(150, 1))
    value[42] += 55
    page = _regression(tmp_path, value, y, (f"price {XSS}",))
    assert f"The model predicted “price {XSS}” for 150 rows." in page.text
    assert f"{regression.rmse(value, y):.4g}" in page.text
    worst = page.text[page.text.index("Worst rows") :]
    assert worst.index("clerk 42") == worst.index("clerk")
    assert page.tags.count("svg") == 3


def test_several_targets_with_blanks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(200, 8)) * np.logspace(0, 7, 8)
    value = y * 1.1
    y[rng.random(y.shape) < 0.3] = np.nan
    y[:, 5] = np.nan
    page = _regression(tmp_path, value, y, tuple(f"t{i}" for i in range(8)), kind="image")
    assert "8 numbers for 200 rows" in page.text and "1 further targets" in page.text
    assert page.tags.count("svg") == 1 + 2 * 6
    assert page.tags.count("img") == 24


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_diverged_models_answers_still_give_a_page(tmp_path: Path, bad: float) -> None:
    y = np.arange(10.0)[:, None]
    value = y.copy()
    value[4] = bad
    page = _regression(tmp_path, value, y, ("y",))
    assert "No score is defined" in page.text
    assert page.text.index("clerk 4") == page.text.index("clerk")
    outputs = _answers(20, 3)
    outputs["logits"][:] = np.nan
    assert "Worst errors" in _classification(tmp_path, ("a", "b", "c"), outputs).text


def test_no_rows_and_one_row(tmp_path: Path) -> None:
    assert "has no row with a target" in _classification(tmp_path, ("a", "b"), _answers(0, 2)).text
    empty = np.empty((0, 2))
    assert "has no row with a target" in _regression(tmp_path, empty, empty, ("a", "b")).text
    assert "1 of 1 rows" in _classification(tmp_path, ("a", "b"), {"logits": np.eye(2)[:1], "y": np.array([0])}).text
    assert "1 rows" in _regression(tmp_path, np.ones((1, 1)), np.ones((1, 1)), ("a",)).text


def test_the_largest_page_stays_below_its_limit_and_a_lost_picture_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    Image.fromarray(noise.integers(0, 256, (50, 70, 3), dtype=np.uint8)).save(tmp_path / "0.png")

    def raw(positions: np.ndarray) -> list[Any]:
        pictures: list[Any] = [noise.integers(0, 256, size=(300, 300, 3), dtype=np.uint8) for _ in positions]
        return [str(tmp_path / "0.png"), str(tmp_path / "gone.png"), *pictures[2:]]

    page = _classification(tmp_path, tuple(f"a rather long class name {i}" for i in range(30)), _answers(2000, 30), raw)
    assert page.tags.count("img") == 23 and "cannot be shown: No such file or directory" in page.text


def test_two_reports_of_one_run_differ_in_their_time_only(tmp_path: Path) -> None:
    pages = []
    for _ in range(2):
        _classification(tmp_path, ("a", "b", "c"), _answers(100, 3))
        pages.append(re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", (tmp_path / "report.html").read_text()))
    assert pages[0] == pages[1]


def test_two_classes_show_their_curves_and_thresholds(tmp_path: Path) -> None:
    outputs, val = _answers(400, 2), _answers(300, 2, seed=1)
    page = _classification(tmp_path, ("ok", f"fraud {XSS}"), outputs, validation=val, kind="table", raw=_rows)
    assert "decision" in page.ids and "#decision" in page.addresses
    assert page.tags.count("svg") == 6  # lamp, two learning curves, two curves of the thresholds, calibration
    assert f"When to say “fraud {XSS}”" in page.text and "where it is the likelier class" in page.text
    assert page.text.count("In use.") == 1 and "Largest F2" in page.text
    assert "decision" not in _classification(tmp_path, tuple("abc"), _answers(50, 3)).ids


def test_a_threshold_in_use_changes_what_is_counted(tmp_path: Path) -> None:
    outputs = _answers(400, 2)
    p = softmax(outputs["logits"], 1.3)[:, 0]
    right = int(((p >= 0.2) == (outputs["y"] == 0)).sum())
    page = _classification(tmp_path, ("a", "b"), outputs, validation=_answers(300, 2, 1), threshold=0.2, positive=0)
    assert f"the right one of 2 classes for {right} of 400 rows" in page.text
    assert "from a probability of 0.2 upwards" in page.text and "On average the likelier class has" in page.text
    said = page.text[page.text.index("Worst errors") :]
    assert "said a" in said  # answered although less likely


def test_a_table_shows_where_the_model_is_weaker(tmp_path: Path) -> None:
    outputs = _answers(400, 3)
    odd = np.arange(400) % 2 == 1
    outputs["logits"][~odd] = 9 * np.eye(3)[outputs["y"][~odd]]
    outputs["logits"][odd] = 0.0

    def raw(positions: np.ndarray) -> list[Any]:
        return [{"age": 20.0, f"job {XSS}": ("baker", f"cook {XSS}")[position % 2]} for position in positions]

    page = _classification(tmp_path, tuple("abc"), outputs, raw=raw, kind="table")
    slices = page.text[page.text.index("Where it is weaker") :]
    assert "1 of 2 slices is worse than the rest" in slices
    assert slices.index(f"cook {XSS}") < slices.index("baker") and "worse p 0.001" in slices
    assert "slices" not in _classification(tmp_path, tuple("abc"), outputs).ids  # pictures have no columns
    y = np.arange(100.0)[:, None]
    assert "slices" in _regression(tmp_path, y + 1, y, ("y",)).ids


def test_scores_of_second_rank_are_folded_away(tmp_path: Path) -> None:
    page = _classification(tmp_path, ("a", "b"), _answers(60, 2))
    assert page.text.index("ROC-AUC") < page.text.index("More scores") < page.text.index("Matthews correlation")


def test_a_failed_report_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")

    def broken(positions: np.ndarray) -> list[Any]:
        raise RuntimeError("the source is gone")

    with pytest.raises(RuntimeError, match="the source is gone"):
        _classification(tmp_path, ("a", "b"), _answers(20, 2), raw=broken)
    assert (tmp_path / "report.html").read_text() == "old"

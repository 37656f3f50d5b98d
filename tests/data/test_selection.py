"""Which columns say most: scores against scikit-learn, and columns that only look informative."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn import datasets
from sklearn.feature_selection import f_classif, f_regression, mutual_info_classif, mutual_info_regression

from lamplighter.core import registry
from lamplighter.core.seeding import derive, generator
from lamplighter.data import selection
from lamplighter.data.selection import choose, score


def _table(x: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    columns = {f"c{i}": x[:, i] for i in range(x.shape[1])}
    return columns, dict.fromkeys(columns, "numeric")


@pytest.mark.parametrize("method", ["mutual-info", "f-test"])
@pytest.mark.parametrize("load", [datasets.load_breast_cancer, datasets.load_wine, datasets.load_diabetes])
def test_numbers_are_scored_and_ranked_as_sklearn_does(method: str, load: object) -> None:
    x, y = load(return_X_y=True)  # type: ignore[operator]
    y = y.astype(np.int64) if load is not datasets.load_diabetes else y
    train = np.arange(0, len(y), 2)
    columns, kinds = _table(x)
    found = np.array([*score(columns, kinds, y, train, method, seed=3).values()])  # type: ignore[arg-type]
    if method == "mutual-info":
        estimate = mutual_info_classif if y.dtype == np.int64 else mutual_info_regression
        state = derive(3, "selection") % 2**32
        reference = estimate(x[train], y[train], discrete_features=False, random_state=state)
    else:
        f, _ = (f_classif if y.dtype == np.int64 else f_regression)(x[train], y[train])
        k = len(np.unique(y)) if y.dtype == np.int64 else 2
        reference = -stats.f.logsf(f, k - 1, len(train) - k)
    np.testing.assert_allclose(found, reference, rtol=1e-9)


def test_categories_against_classes_and_numbers_equal_scipy() -> None:
    rng = generator(0, "categories")
    codes = rng.integers(0, 4, 300)
    column = np.array(["a", "b", "c", "d"], dtype=object)[codes]
    classes = (rng.random(300) < 0.3 + 0.1 * codes).astype(np.int64)
    numbers = rng.normal(size=300) + 0.2 * codes
    rows = np.arange(300)
    table = np.zeros((4, 2))
    np.add.at(table, (codes, classes), 1)
    p = stats.chi2_contingency(table, correction=False).pvalue
    assert score({"c": column}, {"c": "category"}, classes, rows, "f-test")["c"] == pytest.approx(-np.log(p), rel=1e-10)
    p = stats.f_oneway(*(numbers[codes == code] for code in range(4))).pvalue
    assert score({"c": column}, {"c": "category"}, numbers, rows, "f-test")["c"] == pytest.approx(-np.log(p), rel=1e-10)


def test_only_training_rows_count() -> None:
    rng = generator(0, "rows")
    y = rng.integers(0, 2, 200).astype(np.int64)
    x = rng.normal(size=(200, 3))
    x[100:, 0] = y[100:]  # tells all about rows that are not for training
    columns, kinds = _table(x)
    for method in ("mutual-info", "f-test"):
        before = score(columns, kinds, y, np.arange(100), method)  # type: ignore[arg-type]
        changed = {name: np.where(np.arange(200) < 100, column, 7.0) for name, column in columns.items()}
        other = np.where(np.arange(200) < 100, y, 0)
        assert score(changed, kinds, other, np.arange(100), method) == before  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["mutual-info", "f-test"])
def test_many_categories_do_not_look_informative(method: str) -> None:
    """Fifty random categories have 0.2 nats of mutual information with a coin by counting alone."""
    wins = 0
    for seed in range(10):
        rng = generator(seed, "noise")
        y = rng.integers(0, 2, 200).astype(np.int64)
        noise = np.array([f"v{code}" for code in rng.integers(0, 50, 200)], dtype=object)
        signal = np.where(rng.random(200) < 0.7, y, 1 - y).astype(np.float64)
        columns = {"noise": noise, "signal": np.array(["no", "yes"], dtype=object)[signal.astype(int)]}
        kinds = dict.fromkeys(columns, "category")
        scores = score(columns, kinds, y, np.arange(200), method)  # type: ignore[arg-type]
        wins += scores["signal"] > scores["noise"]
    assert wins >= 9


@pytest.mark.parametrize("method", ["mutual-info", "f-test"])
@pytest.mark.parametrize("classes", [True, False])
def test_blanks_booleans_and_dates_can_be_what_matters(method: str, classes: bool) -> None:
    rng = generator(1, "kinds")
    n = 400
    y = rng.integers(0, 2, n).astype(np.int64)
    target = y if classes else y + rng.normal(0, 0.3, n)
    days = np.datetime64("2024-01-01") + rng.integers(0, 52, n).astype("timedelta64[W]")
    weekday = np.where(rng.random(n) < 0.8, y, rng.integers(0, 5, n)).astype("timedelta64[D]")
    columns = {
        "noise": rng.normal(size=n),
        "blank": np.where((rng.random(n) < 0.8) & (y == 1), np.nan, rng.normal(size=n)),
        "flag": np.where(rng.random(n) < 0.8, y, 1 - y).astype(np.float64),
        "date": (days + weekday).astype("datetime64[us]"),
        "constant": np.full(n, 3.0),
        "empty": np.full(n, np.nan),
    }
    kinds = dict.fromkeys(columns, "numeric") | {"flag": "boolean", "date": "date"}
    scores = score(columns, kinds, target, np.arange(n), method)  # type: ignore[arg-type]
    assert choose(scores, 3) == ["blank", "flag", "date"]
    assert all(np.isfinite(value) for value in scores.values())
    assert scores["constant"] == 0 and scores["empty"] <= 0.01


def test_a_column_that_is_the_target_comes_first() -> None:
    y = np.arange(40) % 2
    columns = {"noise": generator(0, "n").normal(size=40), "copy": y.astype(np.float64)}
    for method in ("mutual-info", "f-test"):
        scores = score(columns, dict.fromkeys(columns, "numeric"), y, np.arange(40), method)  # type: ignore[arg-type]
        assert choose(scores, 1) == ["copy"]


def test_large_tables_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_ROWS", 500)
    rng = generator(0, "large")
    y = rng.integers(0, 2, 3000).astype(np.int64)
    columns, kinds = _table(np.stack([rng.normal(size=3000), rng.normal(size=3000) + y], axis=1))
    rows = np.arange(3000)
    scores = score(columns, kinds, y, rows, "mutual-info", seed=1)
    assert choose(scores, 1) == ["c1"]
    assert scores == score(columns, kinds, y, rows, "mutual-info", seed=1)
    assert scores != score(columns, kinds, y, rows, "mutual-info", seed=2)


def test_a_source_keeps_what_it_selected_and_a_bundle_needs_no_more(tmp_path: Path) -> None:
    data = datasets.load_breast_cancer(as_frame=True).frame
    path = tmp_path / "tumours.csv"
    data.to_csv(path, index=False)
    params = {"path": str(path), "target": "target", "select": {"method": "f-test", "keep": 4}}
    source = registry.build("source", "table", params, {"seed": 0})
    f, _ = f_classif(data.values[source.splits.train, :-1], data.target.to_numpy()[source.splits.train])
    best = sorted(data.columns[np.argsort(-f)[:4]])
    assert sorted(column.name for column in source.signature.inputs) == best
    assert source.split("train").fetch(np.arange(3))["x"].shape == (3, 4)
    said = f"selected 4 of 30 columns by f-test on the training rows: {data.columns[f.argmax()]}"
    assert any(said in note for note in source.notes)
    raw = source.raw("test", np.arange(5))
    assert sorted(raw[0]) == best
    whole_row = {name: float(value) for name, value in data.iloc[source.splits.test[0]].items()}
    np.testing.assert_array_equal(source.preprocessing([whole_row])["x"], source.preprocessing(raw[:1])["x"])
    assert len(source.columns()) == 30
    for keep in (30, 99):
        everything = registry.build("source", "table", {**params, "select": {"keep": keep}}, {"seed": 0})
        assert len(everything.signature.inputs) == 30

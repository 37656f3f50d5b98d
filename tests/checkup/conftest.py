"""Recipes to examine: a sound table, and the same with something wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamplighter.checkup.examine import examine
from lamplighter.checkup.result import Checkup
from lamplighter.core.recipe import Recipe


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Recipe]:
    """``table(kind="sound", rows=600, **sections)``: three classes told apart by four numbers."""

    def make(kind: str = "sound", rows: int = 600, **sections: Any) -> Recipe:
        draws = np.random.default_rng(0)
        x = draws.normal(size=(rows, 4)).round(4)
        y = np.array(["red", "green", "blue"])[(x[:, :3] + 0.3 * draws.normal(size=(rows, 3))).argmax(1)]
        columns = {f"x{i}": x[:, i].astype(str) for i in range(4)}
        if kind == "shuffled":
            y = draws.permutation(y)
        if kind == "rare":
            y[(y == "blue").nonzero()[0][8:]] = "red"
        if kind == "uneven":
            y[(y == "blue").nonzero()[0][30:]] = "red"
        if kind == "twice":
            for column in columns.values():
                column[300:] = column[:300]
            y[300:] = y[:300]
        if kind == "conflict":
            for column in columns.values():
                column[:40] = column[40:80]
        lines = [",".join([*columns, "y"]), *(",".join(cells) for cells in zip(*columns.values(), y.tolist()))]
        path = tmp_path_factory.mktemp(kind) / "table.csv"
        path.write_text("\n".join(lines) + "\n")
        document = {
            "name": "colours",
            "threads": 1,
            "data": {"name": "table", "path": str(path), "target": "y", "batch_size": 32},
            "model": {"name": "mlp", "hidden": [32]},
            "task": {"name": "classification"},
            "train": {"optimizer": {"name": "adamw", "lr": 0.01}, "epochs": 5, "precision": "fp32"},
        }
        return Recipe.parse(json.dumps({**document, **sections}))

    return make


@pytest.fixture(scope="session")
def sound(table: Callable[..., Recipe]) -> Checkup:
    """The examination of a recipe with nothing wrong, with rates compared."""
    return examine(table(), rates=[100.0, 0.01, 1e-6], progress=False)


@pytest.fixture(scope="session")
def levels() -> Callable[[Checkup], dict[str, str]]:
    """Name of each check -> its level (the worst, where a name occurs twice)."""
    order = ["ok", "look", "wrong"]

    def of(checkup: Checkup) -> dict[str, str]:
        found: dict[str, str] = {}
        for check in checkup.checks:
            found[check.name] = max(found.get(check.name, "ok"), check.level, key=order.index)
        return found

    return of


@pytest.fixture
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path

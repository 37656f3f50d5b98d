"""A missing optional package becomes one line with the pip command; any other missing module stays a bug."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest

from lamplighter.core import extras, registry
from lamplighter.core.errors import MissingExtraError


def test_every_known_package_is_in_the_extra_it_names() -> None:
    distribution = {"sklearn": "scikit-learn", "PIL": "pillow", "uvloop": "uvicorn", "httptools": "uvicorn"}
    distribution["mlflow"] = "mlflow-skinny"
    declared = {
        (match[1].lower().replace("_", "-"), match[2])
        for requirement in importlib.metadata.requires("lamplighter") or []
        if (match := re.match(r"([A-Za-z0-9._-]+).*extra == ['\"](\w+)['\"]", requirement))
    }
    for module, extra in extras.EXTRA_OF.items():
        assert (distribution.get(module, module).lower().replace("_", "-"), extra) in declared, module


def test_unknown_modules_are_not_explained_away() -> None:
    assert extras.explained(ModuleNotFoundError("No module named 'lamplighter.x'", name="lamplighter.x")) is None


def test_a_package_can_be_asked_for_without_importing_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(extras.EXTRA_OF, "tensorbored", "loggers")
    extras.require("tensorboard")
    for _ in ("absent", "a folder of that name"):
        with pytest.raises(MissingExtraError, match=r"'tensorbored'.* pip install 'lamplighter\[loggers\]'"):
            extras.require("tensorbored")
        (tmp_path / "tensorbored").mkdir(exist_ok=True)
        monkeypatch.syspath_prepend(str(tmp_path))


def test_a_component_whose_package_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(registry.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'lamplighter\[train\]'"):
        registry.get("model", "cnn")

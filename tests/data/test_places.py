"""A missing file is named with the place where it was looked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lamplighter.core import registry
from lamplighter.core.errors import DataError
from lamplighter.data.places import existing


def test_an_existing_place_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").touch()
    assert existing("a.csv") == Path("a.csv")
    assert existing("~/a.csv") == tmp_path / "a.csv"


def test_a_file_of_an_installed_package_is_found_without_importing_it() -> None:
    place = existing("package:pytest/pytest/__init__.py")
    assert place.is_file() and place.parent.name == "pytest"
    with pytest.raises(DataError, match="'no-such-package' is not installed; run: pip install no-such-package"):
        existing("package:no-such-package/data.csv")
    with pytest.raises(DataError, match=r"package:pytest/pytest/none.csv: pytest [0-9.]+ is installed but has no such"):
        existing("package:pytest/pytest/none.csv")
    for outside in ("package:pytest", "package:pytest/../secret"):
        with pytest.raises(DataError, match="is installed but has no such file"):
            existing(outside)


@pytest.mark.parametrize(
    ("name", "params"),
    [("table", {"target": "y"}), ("image-table", {"targets": ["y"]}), ("image-folder", {})],
)
def test_every_source_names_the_absolute_path(
    name: str, params: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"^in/none: no such \w+: looked for {re.escape(str(tmp_path))}/in/none, "):
        registry.build("source", name, {"path": "in/none", **params}, {"seed": 0, "splits": None})
    with pytest.raises(DataError, match=rf"^{re.escape(str(tmp_path))}/none: no such \w+$"):
        registry.build("source", name, {"path": f"{tmp_path}/none", **params}, {"seed": 0, "splits": None})

"""The store: added whole, checked before use, removed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lamplighter.core import weights_store
from lamplighter.core.errors import WeightsError
from lamplighter.core.weights import find

CONTENT = b"some weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAMPLIGHTER_WEIGHTS", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "store"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my.pt"
    path.write_bytes(CONTENT)
    return path


def test_added_weights_are_found_by_name_after_the_original_is_gone(file: Path, store: Path) -> None:
    entry = weights_store.add(find(file), "mine", facts={"architecture": "resnet18", "tensors": 2})
    file.unlink()
    assert (entry.sha256, entry.size, entry.file, entry.origin) == (DIGEST, len(CONTENT), "my.pt", str(file))
    assert weights_store.names() == ["mine"]
    assert weights_store.get("mine") == entry
    assert weights_store.verified("mine").paths[0].read_bytes() == CONTENT
    assert weights_store.locate("mine").paths == (store / "mine" / "my.pt",)
    weights_store.remove("mine")
    assert weights_store.names() == [] and list(store.iterdir()) == []


def test_the_store_is_where_the_environment_says(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights_store.root() == store
    monkeypatch.delenv("LAMPLIGHTER_WEIGHTS")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert str(weights_store.root()) == "/home/somebody/.local/share/lamplighter/weights"


def test_a_changed_file_is_noticed_before_it_is_used(file: Path, store: Path) -> None:
    weights_store.add(find(file), "mine")
    (store / "mine" / "my.pt").write_bytes(b"other weight")
    for use in (weights_store.verified, weights_store.locate):
        with pytest.raises(WeightsError, match=r"weights 'mine': has sha256 .* expected"):
            use("mine")


def test_a_wrong_expected_hash_adds_nothing(file: Path, store: Path) -> None:
    with pytest.raises(WeightsError, match="expected 0000"):
        weights_store.add(find(file), "mine", sha256="0" * 64)
    assert weights_store.names() == []
    assert not store.exists() or list(store.iterdir()) == []
    assert weights_store.add(find(file), "mine", sha256=DIGEST.upper()).sha256 == DIGEST


def test_a_name_is_taken_once(file: Path) -> None:
    weights_store.add(find(file), "mine")
    with pytest.raises(WeightsError, match=r"'mine' is taken.*lamp weights remove mine"):
        weights_store.add(find(file), "mine")


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../up", "a b", "-x"])
def test_malformed_names_are_refused(file: Path, name: str) -> None:
    with pytest.raises(WeightsError, match="a name has letters"):
        weights_store.add(find(file), name)
    with pytest.raises(WeightsError):
        weights_store.get(name)
    with pytest.raises(WeightsError):
        weights_store.remove(name)


def test_an_unknown_name_is_answered_with_the_nearest(file: Path) -> None:
    with pytest.raises(WeightsError, match="the store is empty"):
        weights_store.get("resnet")
    weights_store.add(find(file), "my-resnet")
    with pytest.raises(WeightsError, match=r"'my-resnt' \(did you mean 'my-resnet'\?\)"):
        weights_store.get("my-resnt")
    with pytest.raises(WeightsError, match="no such file or folder here, and no weights are stored under 'my-resnt'"):
        weights_store.locate("my-resnt")
    with pytest.raises(WeightsError, match="no such file or folder"):
        weights_store.locate("some/where.pt")


def test_a_path_that_exists_comes_before_a_name(file: Path) -> None:
    weights_store.add(find(file), "both")
    shutil.copyfile(file, "both")
    assert weights_store.locate("both").paths == (Path("both"),)


def test_a_damaged_record_is_told_and_can_be_removed(file: Path, store: Path) -> None:
    weights_store.add(find(file), "mine")
    (store / "mine" / "entry.json").write_text("{")
    with pytest.raises(WeightsError, match=r"entry\.json: damaged"):
        weights_store.get("mine")
    weights_store.remove("mine")
    assert weights_store.names() == []


def test_sharded_weights_are_copied_with_their_index_and_config(tmp_path: Path, store: Path) -> None:
    folder = tmp_path / "hf"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / name).write_text(name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "one", "b": "two"}}))
    (folder / "config.json").write_text('{"model_type": "resnet"}')
    source = find(folder)
    entry = weights_store.add(source, "sharded")
    shutil.rmtree(folder)
    found = weights_store.verified("sharded")
    assert [path.name for path in found.paths] == ["one", "two"]
    assert found.config == {"model_type": "resnet"}
    (store / "sharded" / "two").write_text("2")
    with pytest.raises(WeightsError, match=entry.sha256):
        weights_store.verified("sharded")


def test_it_imports_no_torch() -> None:
    code = "import sys; from lamplighter.core import weights_store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

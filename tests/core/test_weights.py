"""Where files of weights are, which belong together, and their hash."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from lamplighter.core.errors import WeightsError
from lamplighter.core.weights import find


def index(folder: Path, table: object) -> Path:
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps(table))
    return path


def test_a_single_file(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(b"abc")
    found = find(path)
    assert (found.paths, found.index, found.size, found.shown) == ((path,), None, 3, str(path))
    assert found.sha256() == hashlib.sha256(b"abc").hexdigest()
    found.check(hashlib.sha256(b"abc").hexdigest().upper())
    path.write_bytes(b"abd")
    with pytest.raises(WeightsError, match="changed or damaged"):
        found.check(hashlib.sha256(b"abc").hexdigest())


def test_a_sharded_checkpoint_and_its_hash(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_text(name)
    path = index(tmp_path, {"weight_map": {"x": "b", "y": "a", "z": "b"}})
    found = find(tmp_path)
    assert [p.name for p in found.paths] == ["a", "b"]
    assert found.index == path
    listing = subprocess.run(["sha256sum", "a", "b", path.name], cwd=tmp_path, capture_output=True, check=True).stdout
    assert found.sha256() == hashlib.sha256(listing).hexdigest()
    (tmp_path / "b").unlink()
    with pytest.raises(WeightsError, match="1 of 2 files are missing, first 'b'"):
        find(tmp_path)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "sub/part"])
def test_an_index_names_files_beside_it_only(tmp_path: Path, name: str) -> None:
    with pytest.raises(WeightsError, match="not beside it; refused"):
        find(index(tmp_path, {"weight_map": {"x": name}}))


@pytest.mark.parametrize("table", [[], {}, {"weight_map": {}}, {"weight_map": {"x": 3}}, "text"])
def test_an_index_without_a_table_is_refused(tmp_path: Path, table: object) -> None:
    with pytest.raises(WeightsError, match="no weight_map"):
        find(index(tmp_path, table))


def test_folders_of_hugging_face_and_bundles(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds none of"):
        find(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"b")
    assert find(tmp_path).paths[0].name == "weights.safetensors"
    (tmp_path / "model.safetensors").write_bytes(b"h")
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}')
    assert find(tmp_path).paths[0].name == "model.safetensors"
    assert find(tmp_path).config == {"model_type": "resnet"}
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"config\.json: cannot be read as JSON"):
        _ = find(tmp_path).config


def test_a_run_gives_its_best_weights_once_it_has_finished(tmp_path: Path) -> None:
    best = tmp_path / "checkpoints" / "best" / "model.safetensors"
    best.parent.mkdir(parents=True)
    best.write_bytes(b"w")
    (tmp_path / "recipe.yaml").touch()
    with pytest.raises(WeightsError, match="has not finished"):
        find(tmp_path)
    (tmp_path / "scores.json").write_text("{}")
    assert find(tmp_path).paths == (best,)
    assert find(tmp_path).run == tmp_path
    best.rename(best.parent / "shard-00001-model-00001-of-00001.safetensors")
    with pytest.raises(WeightsError, match=r"in shards .* 'lamp export .*' and name .*/bundle"):
        find(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file or folder"):
        find(tmp_path / "none")

"""A bundle that is not what it says it is is refused before any of it is used."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lamplighter.bundle.runtime import Bundle, archive, load_bundle
from lamplighter.core.errors import BundleError


@pytest.fixture
def copy(linear_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(linear_bundle.path, tmp_path / "copy"))


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def refused(path: Path) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def test_what_is_no_bundle(tmp_path: Path) -> None:
    assert "no such bundle" in refused(tmp_path / "nowhere")
    assert "not a bundle, it has no manifest.json" in refused(tmp_path)
    (tmp_path / "some.zip").write_bytes(b"PK but not really")
    assert "give a bundle folder or its .zip" in refused(tmp_path / "some.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as packed:
        packed.writestr("hello.txt", "hello")
    assert "no manifest.json" in refused(tmp_path / "other.zip")


def test_a_run_folder_is_pointed_to_its_bundle(linear_bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(linear_bundle.path, tmp_path / "bundle")
    assert f"did you mean {tmp_path / 'bundle'}?" in refused(tmp_path)


@pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors", "reference.npz", "card.md"])
def test_a_single_changed_bit_is_found_and_the_file_named(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    assert f"'{name}' was changed after the export" in refused(copy)
    (copy / name).unlink()
    assert f"the file '{name}' is missing" in refused(copy)


def test_a_newer_format_is_named_as_such_whatever_else_it_holds(copy: Path) -> None:
    edit(copy, format_version=3, signature="of a new kind")
    assert "bundle format 3 is newer than this lamplighter knows (2); update" in refused(copy)


def test_manifests_that_do_not_fit(copy: Path) -> None:
    edit(copy, surprise=1)
    assert "manifest.json: surprise: Extra inputs are not permitted" in refused(copy)
    (copy / "manifest.json").write_text("{", encoding="utf-8")
    assert "manifest.json is not JSON" in refused(copy)
    (copy / "manifest.json").write_text("[]", encoding="utf-8")
    assert "manifest.json" in refused(copy)
    (copy / "manifest.json").write_bytes(b"\xff\xfe\xfd")
    assert "manifest.json" in refused(copy)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/b", "..", "C:x", "a\\b", "", "manifest.json"])
def test_files_outside_of_the_bundle_are_never_opened(copy: Path, linear_bundle: Bundle, name: str) -> None:
    edit(copy, files={**linear_bundle.manifest.files, name: "0" * 64})
    assert "is not a plain file name" in refused(copy)


def test_the_network_must_be_listed(copy: Path, linear_bundle: Bundle) -> None:
    edit(copy, files={name: digest for name, digest in linear_bundle.manifest.files.items() if name != "model.onnx"})
    assert "'model.onnx' is not listed" in refused(copy)


def test_files_that_are_not_listed_are_left_alone(copy: Path) -> None:
    (copy / "notes.txt").write_text("mine", encoding="utf-8")
    load_bundle(copy)


def test_zip_and_back(linear_bundle: Bundle, tmp_path: Path, points: Any) -> None:
    packed = linear_bundle.zip(tmp_path / "linear.zip")
    again = load_bundle(packed)
    assert again.manifest == linear_bundle.manifest
    assert again.path == packed
    rows = list(points.x[:3])
    assert again.predict(rows) == linear_bundle.predict(rows)
    assert again.zip(tmp_path / "twice.zip").read_bytes() == packed.read_bytes()


def test_a_zip_made_by_hand_with_the_folder_in_it(linear_bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(linear_bundle.path, tmp_path / "in" / "mine")
    shutil.make_archive(str(tmp_path / "hand"), "zip", tmp_path / "in")
    load_bundle(tmp_path / "hand.zip")


def test_damaged_zips(linear_bundle: Bundle, tmp_path: Path) -> None:
    content = linear_bundle.zip(tmp_path / "whole.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "whole.zip") as packed:
        offset = packed.getinfo("model.onnx").header_offset
    flipped = bytearray(content)
    flipped[offset + 200] ^= 255
    (tmp_path / "flipped.zip").write_bytes(flipped)
    refused(tmp_path / "flipped.zip")
    (tmp_path / "short.zip").write_bytes(content[: len(content) // 2])
    refused(tmp_path / "short.zip")


def test_a_zip_that_unpacks_to_too_much_is_not_unpacked(
    linear_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = linear_bundle.zip(tmp_path / "linear.zip")
    monkeypatch.setattr(archive, "LIMIT_BYTES", 1000)
    assert "unpacks to more than 1,000 bytes" in refused(packed)


def test_writing_a_zip_of_a_damaged_bundle_writes_nothing(copy: Path, tmp_path: Path) -> None:
    bundle = load_bundle(copy)
    (copy / "card.md").write_text("forged", encoding="utf-8")
    with pytest.raises(BundleError, match=r"card\.md"):
        bundle.zip(tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()
    with pytest.raises(BundleError, match="does not exist; make it first"):
        bundle.zip(tmp_path / "no" / "out.zip")

"""fashion-mnist: the files, where they are looked for, and what becomes of them."""

from __future__ import annotations

import gzip
import hashlib
import struct
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.core.seeding import generator
from lamplighter.data.sources import fashion_mnist
from lamplighter.data.sources.fashion_mnist import SHA256, SYSTEM_FOLDER, FashionMNIST, find, read_idx


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the right shapes with cheap content: each image says its own label and number."""
    folder = tmp_path_factory.mktemp("made")
    for prefix, rows in (("train", 60000), ("t10k", 10000)):
        labels = generator(0, prefix).permutation(np.repeat(np.arange(10), rows // 10)).astype(np.uint8)
        images = np.zeros((rows, 28, 28), np.uint8)
        images[:, 0, 0] = labels
        images[:, 0, 1:3] = np.arange(rows, dtype="<u2").view(np.uint8).reshape(rows, 2)
        images[:, 0, 3] = 200 if prefix == "t10k" else 100
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = gzip.compress(idx(array), 1) if prefix == "train" else idx(array)
            (folder / f"{prefix}-{kind}-ubyte{'.gz' if prefix == 'train' else ''}").write_bytes(content)
    return folder


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No data on this machine; returns the folder the cache will be made in."""
    monkeypatch.delenv("LAMPLIGHTER_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setattr(fashion_mnist, "ADDRESSES", ())
    return tmp_path


@pytest.fixture
def source(nowhere: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> FashionMNIST:
    monkeypatch.setenv("LAMPLIGHTER_DATA", str(made))
    return FashionMNIST(download=False)


def test_the_official_test_set_is_test_and_val_is_cut_from_train(source: FashionMNIST) -> None:
    sizes = {name: len(source.split(name)) for name in ("train", "val", "test")}
    assert sizes == {"train": 55000, "val": 5000, "test": 10000}
    test = source.split("test").fetch(np.arange(10000))
    assert (test["x"][:, 0, 0, 3] == 200).all()
    val = source.split("val").fetch(np.arange(5000))
    assert (val["x"][:, 0, 0, 3] == 100).all()
    assert np.bincount(val["y"].numpy()).tolist() == [500] * 10


def test_images_keep_their_labels(source: FashionMNIST) -> None:
    for name in ("train", "val", "test"):
        batch = source.split(name).fetch(np.arange(0, 5000, 7))
        assert np.array_equal(batch["x"][:, 0, 0, 0].numpy(), batch["y"].numpy())


def test_the_shortcut_gives_what_the_pipeline_gives(source: FashionMNIST) -> None:
    indices = np.array([0, 4999, 17])
    raw = source.raw("val", indices)
    assert raw[0].shape == (28, 28) and raw[0].dtype == np.uint8
    x = source.preprocessing(raw)["x"]
    fetched = source.split("val").fetch(indices)["x"].numpy()
    assert np.array_equal(x, fetched) and x.dtype == fetched.dtype


def test_val_is_a_share_and_seeded(nowhere: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMPLIGHTER_DATA", str(made))
    small = FashionMNIST(val=0.01, seed=1)
    assert len(small.splits.val) == 600 and np.array_equal(small.splits.test, np.arange(60000, 70000))
    assert FashionMNIST(val=0.01, seed=1).splits == small.splits != FashionMNIST(val=0.01, seed=2).splits
    assert FashionMNIST(seed=2, splits=small.splits).splits == small.splits


def test_places_are_searched_in_order(nowhere: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("data/fashion-mnist", "system", "cache/lamplighter/fashion-mnist"):
        (nowhere / place).parent.mkdir(parents=True, exist_ok=True)
        (nowhere / place).symlink_to(made)
    monkeypatch.setenv("LAMPLIGHTER_DATA", str(nowhere / "data"))
    assert find() == nowhere / "data" / "fashion-mnist"
    monkeypatch.setenv("LAMPLIGHTER_DATA", str(nowhere / "empty"))
    assert find() == nowhere / "system"
    (nowhere / "system").unlink()
    assert find() == nowhere / "cache" / "lamplighter" / "fashion-mnist"


def test_a_folder_with_a_file_missing_does_not_count(nowhere: Path, made: Path) -> None:
    (nowhere / "system").mkdir()
    for file in sorted(made.iterdir())[1:]:
        (nowhere / "system" / file.name).symlink_to(file)
    with pytest.raises(DataError, match="not on this machine"):
        find(download=False)


def test_the_error_names_the_three_ways(nowhere: Path) -> None:
    with pytest.raises(DataError) as caught:
        FashionMNIST(download=False)
    message = str(caught.value)
    for word in (
        "network",
        "dataset-fashion-mnist",
        "LAMPLIGHTER_DATA",
        "train-images-idx3-ubyte.gz",
        "download: false",
    ):
        assert word in message
    assert "\n" not in message


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@pytest.fixture
def mirror(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A real server with four small files, and their hashes."""
    folder = nowhere / "www"
    folder.mkdir()
    hashes = {}
    for name in SHA256:
        (folder / f"{name}.gz").write_bytes(gzip.compress(name.encode()))
        hashes[name] = hashlib.sha256((folder / f"{name}.gz").read_bytes()).hexdigest()
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    address = f"http://127.0.0.1:{http.server_address[1]}"
    monkeypatch.setattr(fashion_mnist, "ADDRESSES", (f"{address}/gone/", f"{address}/"))
    monkeypatch.setattr(fashion_mnist, "SHA256", hashes)
    yield folder
    http.shutdown()
    thread.join()
    http.server_close()


def test_the_second_address_is_tried_and_the_cache_kept(mirror: Path, nowhere: Path) -> None:
    cache = nowhere / "cache" / "lamplighter" / "fashion-mnist"
    assert find() == cache
    assert sorted(file.name for file in cache.iterdir()) == sorted(f"{name}.gz" for name in SHA256)
    for file in mirror.iterdir():
        file.unlink()
    assert find() == cache


def test_other_bytes_than_published_are_refused(mirror: Path, nowhere: Path) -> None:
    (mirror / "t10k-labels-idx1-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(DataError, match=r"could not be downloaded: .*/gone/.* 404"):
        find()
    assert not (nowhere / "cache/lamplighter/fashion-mnist/t10k-labels-idx1-ubyte.gz").exists()


def test_idx_files_plain_and_gzipped(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    for content in (idx(array), gzip.compress(idx(array))):
        (tmp_path / "file").write_bytes(content)
        assert np.array_equal(read_idx(tmp_path / "file", 3), array)


ARRAY = np.zeros((2, 3), np.uint8)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an IDX file"),
        (idx(ARRAY)[:6], "not an IDX file"),
        (b"\0\0\x0d" + idx(ARRAY)[3:], "not an IDX file"),
        (idx(ARRAY[0]), "with 2 dimensions"),
        (idx(ARRAY)[:-1], "5 values instead of 6"),
        (idx(ARRAY) + b"!", "7 values instead of 6"),
        (b"\0\0\x08\x02" + b"\xff" * 8, "0 values instead of 18446744065119617025"),
        (gzip.compress(idx(ARRAY))[:-9], "cannot be read"),
        (gzip.compress(idx(ARRAY))[:12] + b"!!!" + gzip.compress(idx(ARRAY))[15:], "cannot be read"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "broken.gz").write_bytes(content)
    with pytest.raises(DataError, match=rf"broken\.gz: .*{words}"):
        read_idx(tmp_path / "broken.gz", 2)


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("t10k-images-idx3-ubyte", np.zeros((5, 28, 28), np.uint8), "images of shape"),
        ("t10k-labels-idx1-ubyte", np.zeros(5, np.uint8), "10000 labels"),
        ("t10k-labels-idx1-ubyte", np.full(10000, 10, np.uint8), "labels from 0 to 9"),
    ],
)
def test_files_of_another_data_set_are_refused(
    nowhere: Path, made: Path, monkeypatch: pytest.MonkeyPatch, name: str, array: np.ndarray, words: str
) -> None:
    folder = nowhere / "mixed"
    folder.mkdir()
    for file in made.iterdir():
        if file.name != name:
            (folder / file.name).symlink_to(file)
    (folder / name).write_bytes(idx(array))
    monkeypatch.setenv("LAMPLIGHTER_DATA", str(folder))
    with pytest.raises(DataError, match=words):
        FashionMNIST()


@pytest.mark.skipif(not SYSTEM_FOLDER.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_the_real_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAMPLIGHTER_DATA", raising=False)
    source = FashionMNIST(download=False)
    first = source._tensors["x"][0, 0].numpy()
    assert source.signature.labels[int(source._tensors["y"][0])] == "Ankle boot"
    assert int(first.sum(dtype=np.int64)) == 76247
    assert np.bincount(source._tensors["y"].numpy()).tolist() == [7000] * 10
    mean, deviation = source.statistics()["x"]
    x = source._tensors["x"].numpy()[source.splits.train]
    assert mean == pytest.approx([x.mean(dtype=np.float64)], rel=1e-12)
    assert deviation == pytest.approx([x.std(dtype=np.float64)], rel=1e-9)


@pytest.mark.skipif(not SYSTEM_FOLDER.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_the_published_hash_belongs_to_this_content() -> None:
    """Debian packed anew; with the name and time of the published file in the head, its hash comes out."""
    packed = (SYSTEM_FOLDER / "t10k-labels-idx1-ubyte.gz").read_bytes()
    head = b"\x1f\x8b\x08\x08" + struct.pack("<I", 1504176627) + b"\0\x03t10k-labels-idx1-ubyte\0"
    if packed[3] != 0:
        pytest.skip("this release of the package has another head")
    assert hashlib.sha256(head + packed[10:]).hexdigest() == SHA256["t10k-labels-idx1-ubyte"]

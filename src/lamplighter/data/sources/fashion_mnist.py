"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747): 70,000 gray images of clothes."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from lamplighter.core.errors import DataError
from lamplighter.core.registry import FromData
from lamplighter.data import download as downloads
from lamplighter.data import splits as splitting
from lamplighter.data.sources._images import GrayArrays
from lamplighter.data.splits import Splits

LABELS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package ``dataset-fashion-mnist`` puts the files."""
ADDRESSES = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
SHA256 = {
    "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
"""Of the published ``.gz`` files. Debian packs the same content anew."""
ROWS = {"train": 60000, "t10k": 10000}


class FashionMNIST(GrayArrays):
    """Gray images of 28 x 28 pixels in ten classes.

    Looks in ``$LAMPLIGHTER_DATA`` and its folder ``fashion-mnist``, then where Debian's package
    ``dataset-fashion-mnist`` installs, then in the cache, and downloads at last. ``test`` is the official test set;
    ``val`` is a stratified part of the official training set.

    Args:
        val: share of the official training set's 60,000 rows; the default makes 5,000.
        download: whether the network may be used when the files are nowhere on this machine.
        seed: of the split.
        splits: a persisted split to use again.

    Raises:
        DataError: not to be found, with the ways to get it; or damaged files.
    """

    def __init__(
        self,
        val: Annotated[float, Field(gt=0, lt=1)] = 1 / 12,
        download: bool = True,
        seed: Annotated[int, FromData] = 0,
        splits: Annotated[Splits | None, FromData] = None,
    ) -> None:
        folder = find(download)
        train_x, train_y = part(folder, "train")
        test_x, test_y = part(folder, "t10k")
        labels = np.concatenate([train_y, test_y]).astype(np.int64)
        if splits is None:
            train, held_out = splitting.cut(labels[:60000], (1 - val, val), seed, names=("train", "val"))
            splits = Splits(train, held_out, np.arange(60000, 70000))
        super().__init__(np.concatenate([train_x, test_x]), labels, LABELS, splits)


def find(download: bool = True) -> Path:
    """The folder with the four files, downloaded if need be.

    Raises:
        DataError: with the three ways to get them.
    """
    given = os.environ.get("LAMPLIGHTER_DATA")
    own = [Path(given), Path(given) / "fashion-mnist"] if given else []
    cache = downloads.cache_folder() / "fashion-mnist"
    places = [*own, SYSTEM_FOLDER, cache]
    for folder in places:
        if all(_file(folder, name) for name in SHA256):
            return folder
    reason = "downloads are switched off (download: false)"
    if download:
        problem = _download(cache)
        if problem is None:
            return cache
        reason = problem
    raise DataError(
        f"fashion-mnist is not on this machine (looked in {', '.join(map(str, places))}) and could not be downloaded: "
        f"{reason}. Three ways to get it: connect to the network and try again; install Debian's package "
        f"dataset-fashion-mnist; or put {', '.join(f'{name}.gz' for name in SHA256)} into a folder and name it in "
        "LAMPLIGHTER_DATA"
    )


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An IDX file of bytes, plain or gzipped: magic ``00 00 08 <dimensions>``, big-endian sizes, then the values.

    Raises:
        DataError: names the file and what is wrong with it.
    """
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); get the file again") from None
    head = 4 + 4 * dimensions
    if len(content) < head or content[:4] != bytes([0, 0, 8, dimensions]):
        raise DataError(f"{path}: not an IDX file of bytes with {dimensions} dimensions; get the file again")
    sizes = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, offset=4))
    expected = int(np.prod(sizes, dtype=object))
    if len(content) - head != expected:
        raise DataError(f"{path}: {len(content) - head} values instead of {expected}; get the file again")
    return np.frombuffer(content, np.uint8, offset=head).reshape(sizes)


def part(folder: Path, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one of the two official sets.

    Args:
        folder: see `find`.
        prefix: ``train`` (60,000 rows) or ``t10k`` (10,000).

    Raises:
        DataError: a damaged file.
    """
    rows = ROWS[prefix]
    image_file = _file(folder, f"{prefix}-images-idx3-ubyte")
    label_file = _file(folder, f"{prefix}-labels-idx1-ubyte")
    if image_file is None or label_file is None:
        raise DataError(f"{folder}: a file of fashion-mnist vanished")
    images, labels = read_idx(image_file, 3), read_idx(label_file, 1)
    if images.shape != (rows, 28, 28):
        raise DataError(f"{image_file}: images of shape {images.shape}, expected {(rows, 28, 28)}")
    if labels.shape != (rows,) or labels.max() >= len(LABELS):
        raise DataError(f"{label_file}: expected {rows} labels from 0 to 9")
    return images, labels


def _file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), None)


def _download(cache: Path) -> str | None:
    """Fetch all four files from the first address that has them; ``None``, or the reason why not."""
    reason = None
    for address in ADDRESSES:
        try:
            for name, sha256 in SHA256.items():
                downloads.fetch(f"{address}{name}.gz", cache / f"{name}.gz", sha256, retries=2)
        except (DataError, OSError) as error:
            reason = reason or str(error)
        else:
            return None
    return reason

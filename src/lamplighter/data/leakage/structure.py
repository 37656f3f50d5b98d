"""Groups on both sides of a split, and training rows that are younger than the rows they are judged on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.data.leakage.content import Content
from lamplighter.data.leakage.finding import SHOWN, Finding, counted
from lamplighter.data.source import Source
from lamplighter.data.tables import kinds
from lamplighter.data.tables.reading import TableFile

_GROUP = re.compile(
    r"(?i)(.*[_\s.-])?(patient|subject|participant|person|user|customer|client|member|household|family|speaker|author|"
    r"session|group|device|sensor|machine|vehicle|account|student|animal|donor|slide|scan|video|recording)"
    r"([_\s.-]?(id|no|nr|number|name|code))?"
)
_BIRTH = re.compile(r"(?i).*(birth|born|dob).*")
_FEWEST = 10  # different values of a column that may name groups


def divided_groups(rows: Content, source: Source) -> list[Finding]:
    """Columns that seem to name patients, users, sessions ... of whom rows stand in training and in a later split.

    Such a column is named like an identifier or a group and has at least ten values. Of a folder of images, sub-folders
    below the classes count as groups.

    Args:
        rows: of the source.
        source: a table, a table of images, or a folder of images.
    """
    found = []
    for name, values in _candidates(rows, source).items():
        codes = np.unique(values[rows.positions], return_inverse=True)[1].reshape(-1)
        groups = int(codes.max()) + 1
        if groups < _FEWEST:
            continue
        in_training = np.zeros(groups, dtype=bool)
        in_training[codes[rows.part == 0]] = True
        divided = in_training[codes] & (rows.part > 0)
        if not divided.any():
            continue
        by_split = {split: int(divided[rows.part == number].sum()) for number, split in ((1, "val"), (2, "test"))}
        names = np.unique(values[rows.positions][divided])
        how = "{by: group, pattern: ...}" if isinstance(name, Path) else f"{{by: group, column: {name}}}"
        what = "sub-folders of the classes" if isinstance(name, Path) else f"column '{name}'"
        found.append(
            Finding(
                check="group",
                certain=False,
                message=f"{what}: {counted(by_split, rows.sizes)} share their value with training rows, so the scores "
                "say how well known ones are recognised, not new ones",
                rows=int(divided.sum()),
                examples=tuple(str(value) for value in names[:SHOWN]),
                advice=f"Keep them together: data: {{split: {how}}}",
            )
        )
    return found


def time_order(rows: Content, source: Source) -> list[Finding]:
    """Date columns by which the model learns from the future of the rows it is judged on.

    Args:
        rows: of the source.
        source: of other data than tables there is nothing to say. Dates of birth are left alone.
    """
    file = _file(source)
    if file is None:
        return []
    found = []
    for name, times in _dates(file, source).items():
        times = times[rows.positions]
        training = times[(rows.part == 0) & ~np.isnat(times)]
        if not len(training) or len(np.unique(times)) < _FEWEST:
            continue
        early = (rows.part > 0) & (times < training.max())
        held_out = int((rows.part > 0).sum())
        if early.sum() <= 0.01 * held_out:
            continue
        by_split = {split: int(early[rows.part == number].sum()) for number, split in ((1, "val"), (2, "test"))}
        found.append(
            Finding(
                check="time-order",
                certain=False,
                message=f"column '{name}': {counted(by_split, rows.sizes)} are older than the newest training row "
                f"({_day(training.max())}); in use, a model only ever knows the past",
                rows=int(early.sum()),
                examples=tuple(_day(value) for value in np.sort(times[early])[:SHOWN]),
                advice=f"If rows depend on when they were made, split in time: data: {{split: {{by: time, "
                f"column: {name}}}}}",
            )
        )
    return found


def _candidates(rows: Content, source: Any) -> dict[str | Path, np.ndarray]:
    """Name -> value of every row of the data set."""
    file = _file(source)
    if file is not None:
        targets = {column.name for column in source.signature.targets}
        return {
            name: np.array([str(cell) if cell is not None else f"\0{row}" for row, cell in enumerate(cells)])
            for name, cells in file.columns.items()
            if name not in targets and (kinds.is_identifier(name) or _GROUP.fullmatch(name))
        }
    if rows.columns is not None or source.signature.inputs[0].kind != "image":
        return {}
    folders = np.empty(int(rows.positions[-1]) + 1, dtype=object)
    for split in ("train", "val", "test"):
        raw = source.raw(split, np.arange(len(source.splits[split])))
        if not raw or not isinstance(raw[0], str):
            return {}
        folders[source.splits[split]] = [str(Path(path).parent) for path in raw]
    below = len(set(folders[rows.positions])) > len(source.signature.labels)
    return {Path("folder"): np.array([str(folder) for folder in folders])} if below else {}


def _dates(file: TableFile, source: Any) -> dict[str, np.ndarray]:
    targets = {column.name for column in source.signature.targets}
    names = [name for name in file.columns if name not in targets and not _BIRTH.fullmatch(name)]
    order = source.resolved().get("date_order")
    found = {}
    for name in names:
        try:
            own = order or kinds.date_order(file, [name])[0]
            if kinds.guess(file, name, own).kind == "date":
                found[name] = kinds.typed(file, name, "date", own)
        except DataError:  # typing errors: the source says so when the column is used
            continue
    return found


def _file(source: Any) -> TableFile | None:
    return source.table() if hasattr(source, "table") else None


def _day(time: Any) -> str:
    return str(np.datetime_as_string(time, unit="D"))

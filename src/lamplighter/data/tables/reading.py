"""Reads a table file, CSV, Parquet or JSON lines, whole (training) or row by row with bounded memory (prediction)."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamplighter.core import registry
from lamplighter.core.errors import DataError
from lamplighter.data.tables import csv, jsonl, parquet, values
from lamplighter.data.tables.dialect import Dialect, sniff


@dataclass(frozen=True)
class TableFile:
    """A whole table in memory.

    Attributes:
        path: the file, for messages.
        columns: name -> cells; texts without surrounding space (CSV), Python values (Parquet, JSON lines), None where
            missing.
        lines: for each row the line it starts on (CSV, JSON lines) or its number counted from 1 (Parquet); 0 for a row
            that is a file of its own.
        dialect: how the CSV file is written; None for Parquet and JSON lines.
    """

    path: Path
    columns: dict[str, list[Any]]
    lines: array[int]
    dialect: Dialect | None

    def __len__(self) -> int:
        return len(self.lines)

    def where(self, row: int) -> str:
        """``data.csv:17``, or ``data.parquet, row 16`` (counted from 1).

        Args:
            row: zero-based position.
        """
        return _where(self.path, self.lines[row], self.dialect)

    def column(self, name: str) -> list[Any]:
        """Cells of a column.

        Raises:
            DataError: no such column, with the nearest name.
        """
        if name not in self.columns:
            hint = registry.did_you_mean(name, list(self.columns))
            raise DataError(f"{self.path}: no column '{name}'{hint}; columns: {', '.join(self.columns)}")
        return self.columns[name]

    def select(self, rows: list[int]) -> TableFile:
        """The table with some of its rows, in the order given."""
        columns = {name: [cells[row] for row in rows] for name, cells in self.columns.items()}
        return TableFile(self.path, columns, array("q", [self.lines[row] for row in rows]), self.dialect)


@dataclass(frozen=True)
class JoinedTable(TableFile):
    """Several tables, one after the other.

    Attributes:
        origins: path and dialect of each file.
        parts: for each row the number of its file.
    """

    origins: tuple[tuple[Path, Dialect | None], ...]
    parts: array[int]

    def where(self, row: int) -> str:
        path, dialect = self.origins[self.parts[row]]
        return _where(path, self.lines[row], dialect)

    def select(self, rows: list[int]) -> JoinedTable:
        chosen = super().select(rows)
        parts = array("q", [self.parts[row] for row in rows])
        return JoinedTable(chosen.path, chosen.columns, chosen.lines, chosen.dialect, self.origins, parts)


def join(files: Sequence[TableFile]) -> JoinedTable:
    """Tables one after the other; columns that not all of them have are left out."""
    if len(files) == 1 and isinstance(files[0], JoinedTable):
        return files[0]
    names = [name for name in files[0].columns if all(name in file.columns for file in files)]
    columns = {name: [cell for file in files for cell in file.columns[name]] for name in names}
    lines = array("q", [line for file in files for line in file.lines])
    parts = array("q", [number for number, file in enumerate(files) for _ in range(len(file))])
    origins = tuple((file.path, file.dialect) for file in files)
    return JoinedTable(files[0].path, columns, lines, files[0].dialect, origins, parts)


def read_table(
    path: str | Path,
    delimiter: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    missing: tuple[str, ...] = (),
    verbatim: Collection[str] = (),
) -> TableFile:
    """Read a whole table into memory.

    Args:
        path: a CSV or Parquet file, told apart by content, or JSON lines (``.jsonl``, ``.ndjson``).
        delimiter: between the fields of a CSV file; None: told from the file, as are the next two.
        encoding: of a CSV file.
        decimal: sign of a CSV file.
        missing: texts that mean "no value", besides `lamplighter.data.tables.values.MISSING`.
        verbatim: columns of free text: their cells keep the space around them, and only an empty text is missing.

    Raises:
        DataError: no such file, broken rows, no rows.
    """
    path = Path(path).expanduser()
    dialect, names, records = _open(path, delimiter, encoding, decimal)
    lines = array("q")
    columns: list[list[Any]] = [[] for _ in names]
    extra = frozenset(missing)
    clean = [_kept if name in verbatim else _clean for name in names]
    for line, record in records:
        lines.append(line)
        for cells, cell, cleaned in zip(columns, record, clean):
            cells.append(cleaned(cell, extra))
    if not lines:
        raise DataError(f"{path}: the file has column names but no rows")
    return TableFile(path, dict(zip(names, columns)), lines, dialect)


def iter_rows(
    path: str | Path,
    kinds: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    missing: tuple[str, ...] = (),
    default_decimal: str | None = None,
    verbatim: Collection[str] = (),
) -> Iterator[dict[str, Any]]:
    """The rows of a table one by one, as a client would send them; memory does not grow with the file.

    Args:
        path: a CSV, Parquet or JSON lines file.
        kinds: column -> kind, for instance ``{c.name: c.kind for c in signature.inputs}``. Columns of kind ``numeric``
            become numbers. Without it, every text that is a number with a decimal comma or grouped thousands is
            rewritten as a plain number.
        delimiter: as for `read_table`, like the rest.
        encoding: see there.
        decimal: see there.
        missing: see there.
        default_decimal: decimal sign of a CSV file that proves neither.
        verbatim: see there.

    Raises:
        DataError: no such file, a broken row, or a text in a numeric column; names file and line.
    """
    path = Path(path).expanduser()
    dialect, names, records = _open(path, delimiter, encoding, decimal, default_decimal)
    sign = dialect.decimal if dialect else None
    numeric = {name for name in names if kinds and kinds.get(name) == "numeric"}
    extra = frozenset(missing)
    clean = [_kept if name in verbatim else _clean for name in names]
    for line, record in records:
        row = {name: cleaned(cell, extra) for name, cell, cleaned in zip(names, record, clean)}
        for name in numeric:
            if isinstance(row[name], str):
                value = values.number(row[name], sign)
                if value is None:
                    where = _where(path, line, dialect)
                    raise DataError(f"{where}: column '{name}' is numeric in this model but holds '{row[name]}'")
                row[name] = value
        yield row if kinds is not None or sign is None else {k: _plain_number(v, sign) for k, v in row.items()}


def _open(
    path: Path,
    delimiter: str | None,
    encoding: str | None,
    decimal: str | None,
    default_decimal: str | None = None,
) -> tuple[Dialect | None, list[str], Iterator[tuple[int, list[Any]]]]:
    try:
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path}: this is a folder, not a table; give a CSV, Parquet or JSON lines file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if path.suffix.lower() in (".parquet", ".pq") or parquet.is_parquet(path):
        names, records = parquet.rows(path)
        return None, names, enumerate(records, start=1)
    if jsonl.is_jsonl(path):
        return None, *jsonl.rows(path)
    dialect = sniff(path, delimiter, encoding, decimal, default_decimal)
    names, rows = csv.rows(path, dialect)
    return dialect, names, rows


def _where(path: Path, line: int, dialect: Dialect | None) -> str:
    if not line:
        return str(path)
    return f"{path}:{line}" if dialect or jsonl.is_jsonl(path) else f"{path}, row {line}"


def _kept(cell: Any, _: frozenset[str]) -> Any:
    return None if isinstance(cell, str) and not cell.strip() else cell


def _clean(cell: Any, extra: frozenset[str]) -> Any:
    if values.is_missing(cell, extra):
        return None
    return cell.strip() if isinstance(cell, str) else cell


def _plain_number(cell: Any, decimal: str) -> Any:
    if not isinstance(cell, str) or values.number(cell) is not None:
        return cell
    value = values.number(cell, decimal)
    return cell if value is None else value

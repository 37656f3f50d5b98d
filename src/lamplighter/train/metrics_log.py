"""metrics.jsonl: one JSON object a line, only ever appended to."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from lamplighter.core import files
from lamplighter.core.errors import RunError


class MetricsLog:
    """The diary of a run.

    Args:
        path: the file; made on the first `append`.
        writes: whether this process writes it; one that does not may be told to, and does nothing.
    """

    def __init__(self, path: Path, writes: bool = True) -> None:
        self.path = path
        self.writes = writes

    def append(self, record: dict[str, Any]) -> None:
        """Write one line and bring it to the disk. NaN and infinity, which JSON does not have, become null."""
        if not self.writes:
            return
        line = json.dumps(_finite(record), ensure_ascii=False, allow_nan=False)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[dict[str, Any]]:
        """All records. A last line that a crash cut off is left out.

        Raises:
            RunError: another line is not JSON.
        """
        if not self.path.exists():
            return []
        lines = self.path.read_bytes().split(b"\n")
        records = []
        for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline is empty or torn
            try:
                record = json.loads(line)
            except ValueError:
                raise RunError(f"{self.path}:{number}: not JSON; the file was changed by hand or damaged") from None
            records.append(record)
        return records

    def truncate(self, records: int | None = None, events: Collection[str] | None = None) -> None:
        """Keep the first ``records`` lines (None: all whole ones) and drop the rest.

        Args:
            records: lines to keep in any case.
            events: when given, only later lines of these events are dropped.
        """
        if not self.writes or not self.path.exists():
            return
        lines = self.path.read_bytes().split(b"\n")[:-1]
        kept = lines if records is None else lines[:records]
        if events is not None:
            kept += [line for line in lines[len(kept) :] if json.loads(line).get("event") not in events]
        files.write_bytes(self.path, b"".join(line + b"\n" for line in kept))

    def __len__(self) -> int:
        return self.path.read_bytes().count(b"\n") if self.path.exists() else 0


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

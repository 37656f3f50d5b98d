"""Measures every case of the parity matrix and writes the table of docs/models.md: ``python docs/parity.py``.

Takes some minutes: full-size models are among them. ``tests/models/test_parity.py`` holds the table to the cases.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "models.md"
START, END = "<!-- parity: start -->", "<!-- parity: end -->"

sys.path[:0] = [str(ROOT / "tests" / "support")]

from parity import Case, pair, worst  # noqa: E402
from parity_cases import CASES  # noqa: E402

HEADER = ["| model | held against | outputs | gradients | buffers |", "|---|---|---|---|---|"]


def key(case: Case) -> tuple[str, str]:
    """What names a row of the table: the first two cells."""
    return f"`{case.id}`", case.reference


def row(case: Case) -> str:
    """One line of the table: the largest relative errors measured."""
    found = worst(*pair(case), case.inputs(), case.call_ours, case.call_theirs, case.train)
    outputs = max(found[name] for name in ("eval", "train") if name in found)
    gradients = max((found[name] for name in ("gradients", "input gradients") if name in found), default=None)
    numbers = [outputs, gradients, found.get("buffers")]
    return " | ".join(["", *key(case), *("-" if n is None else f"{n:.1e}" for n in numbers), ""]).strip()


def rows_of(page: str) -> list[tuple[str, str]]:
    """The first two cells of every row that the page has."""
    table = page.split(START)[1].split(END)[0].strip().splitlines()[2:]
    return [(cells[1].strip(), cells[2].strip()) for line in table if (cells := line.split("|"))]


def main() -> None:
    """Write the table anew."""
    lines = list(HEADER)
    for case in sorted(CASES, key=lambda case: case.id):
        lines.append(row(case))
        print(lines[-1], flush=True)
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(START)
    PAGE.write_text(before + "\n".join([START, *lines, END]) + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()

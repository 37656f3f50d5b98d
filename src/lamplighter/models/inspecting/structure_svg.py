"""Draws the structure of a network: boxes in rows from top to bottom, arrows with shapes, skips at the right."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from lamplighter.models.inspecting.structure import Arrow, Box, Structure
from lamplighter.models.inspecting.summary import counted

_WIDTH, _HEIGHT, _ROUND = 330, 46, 24  # of a box; of a place where flows meet
_GAP_X, _GAP_Y, _MARGIN, _LANE = 36, 34, 40, 26
_STACK = 6  # how far a box that stands for several is drawn as a stack
_COLOURS = {  # fill, line
    "conv": ("#e3eefb", "#2f6db5"),
    "attention": ("#efe6fb", "#7346b0"),
    "recurrent": ("#fbe6f1", "#b03a78"),
    "linear": ("#e4f5e9", "#2b8a4b"),
    "embedding": ("#fdf0dc", "#b5761a"),
    "pool": ("#e2f4f4", "#1f8080"),
    "end": ("#ffffff", "#8a8a8a"),
    "merge": ("#ffffff", "#444444"),
}
_OTHER = ("#f1f1f1", "#6a6a6a")
_INK, _QUIET = "#1d1d1f", "#666a70"
_FONT = "font-family=\"system-ui, 'DejaVu Sans', Arial, sans-serif\""


@dataclass
class _Layout:
    """Where each box stands: its middle and its upper edge; and the lanes at the right that are taken."""

    x: dict[int, float] = field(default_factory=dict)
    top: dict[int, float] = field(default_factory=dict)
    rank: dict[int, int] = field(default_factory=dict)
    width: float = 0.0
    height: float = 0.0


def draw(structure: Structure, title: str = "") -> str:
    """The picture as SVG text, readable on white without further files.

    Args:
        structure: as `lamplighter.models.inspecting.structure.structure` makes it.
        title: headline; also what a screen reader says.
    """
    layout = _place(structure, _MARGIN + (26 if title else 0))
    lanes = _lanes(structure, layout)
    right = max((x + _width(box) / 2 for box, x in ((b, layout.x[id(b)]) for b in structure.boxes)), default=0)
    width = right + _MARGIN + (_LANE * (max(lanes.values()) + 1) + 60 if lanes else 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{layout.height:.0f}" '
        f'viewBox="0 0 {width:.0f} {layout.height:.0f}" {_FONT} '
        f'role="img" aria-label="{_quoted(title or "structure")}">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0,0.5 L8,4 L0,7.5 z" fill="{_QUIET}"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{layout.height:.0f}" fill="#ffffff"/>',
    ]
    if title:
        parts.append(
            f'<text x="{_MARGIN}" y="34" font-size="17" font-weight="600" fill="{_INK}">{escape(title)}</text>'
        )
    parts += [_arrow(arrow, layout, lanes, right) for arrow in structure.arrows]
    parts += [_drawn(box, layout) for box in structure.boxes]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _place(structure: Structure, top: float) -> _Layout:
    """Rows by the longest way from an input; in a row by where the boxes feeding them stand."""
    layout = _Layout()
    for box in structure.boxes:  # they are in the order they ran in
        layout.rank[id(box)] = 1 + max((layout.rank[id(a.source)] for a in structure.into(box)), default=-1)
    _lower_starts(structure, layout)
    rows: dict[int, list[Box]] = {}
    for box in structure.boxes:
        rows.setdefault(layout.rank[id(box)], []).append(box)
    y = top
    for _, row in sorted(rows.items()):
        row.sort(key=lambda box: _wish(box, structure, layout))
        total = sum(_width(box) for box in row) + _GAP_X * (len(row) - 1)
        wishes = [_wish(box, structure, layout) for box in row]
        x = sum(wishes) / len(row) - total / 2
        for box in row:
            layout.x[id(box)], layout.top[id(box)] = x + _width(box) / 2, y
            x += _width(box) + _GAP_X
        y += max(_height(box) for box in row) + _GAP_Y
    _centre_starts(rows[min(rows)] if rows else [], structure, layout)
    left = min((layout.x[id(box)] - _width(box) / 2 for box in structure.boxes), default=0)
    for box in structure.boxes:
        layout.x[id(box)] += _MARGIN + 24 - left
    layout.height = y - _GAP_Y + _MARGIN
    return layout


def _lower_starts(structure: Structure, layout: _Layout) -> None:
    """An input that is used late stands just above where it is used."""
    for box in structure.boxes:
        if not structure.into(box) and structure.out_of(box):
            layout.rank[id(box)] = min(layout.rank[id(a.target)] for a in structure.out_of(box)) - 1


def _centre_starts(row: list[Box], structure: Structure, layout: _Layout) -> None:
    """Inputs stand straight above what they feed, where there is room for all of them."""
    wishes = {}
    for box in row:
        targets = [layout.x[id(a.target)] for a in structure.out_of(box)]
        wishes[id(box)] = sum(targets) / len(targets) if targets else layout.x[id(box)]
    for one, two in itertools.pairwise(row):
        if wishes[id(two)] - wishes[id(one)] < (_width(one) + _width(two)) / 2 + _GAP_X:
            return
    layout.x.update(wishes)


def _wish(box: Box, structure: Structure, layout: _Layout) -> float:
    places = [layout.x[id(a.source)] for a in structure.into(box) if id(a.source) in layout.x]
    return sum(places) / len(places) if places else 0.0


def _lanes(structure: Structure, layout: _Layout) -> dict[int, int]:
    """A lane for every arrow that passes a row in which something else is in its way; short ones go inside."""
    long = [arrow for arrow in structure.arrows if _blocked(arrow, structure, layout)]
    long.sort(key=lambda a: layout.rank[id(a.target)] - layout.rank[id(a.source)])
    taken: list[list[tuple[int, int]]] = []
    lanes: dict[int, int] = {}
    for arrow in long:
        span = layout.rank[id(arrow.source)], layout.rank[id(arrow.target)]
        lane = next((i for i, s in enumerate(taken) if all(span[1] <= a or span[0] >= b for a, b in s)), len(taken))
        if lane == len(taken):
            taken.append([])
        taken[lane].append(span)
        lanes[id(arrow)] = lane
    return lanes


def _blocked(arrow: Arrow, structure: Structure, layout: _Layout) -> bool:
    first, last = layout.rank[id(arrow.source)], layout.rank[id(arrow.target)]
    x = layout.x[id(arrow.source)], layout.x[id(arrow.target)]
    return any(
        first < layout.rank[id(box)] < last
        and min(x) - _width(box) / 2 - 4 < layout.x[id(box)] < max(x) + _width(box) / 2 + 4
        for box in structure.boxes
    )


def _arrow(arrow: Arrow, layout: _Layout, lanes: dict[int, int], right: float) -> str:
    source, target = arrow.source, arrow.target
    label = " × ".join(map(str, arrow.shape))
    style = f'fill="none" stroke="{_QUIET}" stroke-width="1.4" marker-end="url(#tip)"'
    if id(arrow) in lanes:
        x1, y1 = layout.x[id(source)] + _width(source) / 2, layout.top[id(source)] + _height(source) * 0.62
        x2, y2 = layout.x[id(target)] + _width(target) / 2, layout.top[id(target)] + _height(target) * 0.38
        lane = right + 18 + _LANE * lanes[id(arrow)]
        path = f"M{x1:.1f},{y1:.1f} H{lane - 8:.1f} q8,0 8,8 V{y2 - 8:.1f} q0,8 -8,8 H{x2 + 2:.1f}"
        words = _text(
            lane + 4, (y1 + y2) / 2, label, 11, _QUIET, f'transform="rotate(90 {lane + 4:.1f} {(y1 + y2) / 2:.1f})"'
        )
        return f'<path d="{path}" {style}/>' + words
    x1, y1 = layout.x[id(source)], layout.top[id(source)] + _height(source)
    x2, y2 = layout.x[id(target)], layout.top[id(target)] - 1
    middle = (y1 + y2) / 2
    straight = f"M{x1:.1f},{y1:.1f} L{x2:.1f},{y2:.1f}"
    path = (
        straight
        if abs(x1 - x2) < 1
        else f"M{x1:.1f},{y1:.1f} C{x1:.1f},{middle:.1f} {x2:.1f},{middle:.1f} {x2:.1f},{y2:.1f}"
    )
    fanned = abs(x1 - x2) >= 1  # of arrows that come together, words stand where they begin
    at, place = (x1, y1 + 9) if fanned else (x1, middle)
    return f'<path d="{path}" {style}/>' + _text(at + 7, place + 4, label, 11, _QUIET)


def _drawn(box: Box, layout: _Layout) -> str:
    x, y = layout.x[id(box)] - _width(box) / 2, layout.top[id(box)]
    fill, line = _COLOURS.get(box.kind, _OTHER)
    width, height = _width(box), _height(box)
    if box.kind in ("merge", "end"):
        words = _text(x + width / 2, y + height / 2 + 4.5, box.title, 13, _INK, 'text-anchor="middle"')
        return _rect(x, y, width, height, height / 2, fill, line) + words
    behind = (_STACK, _STACK / 2) if box.count > 1 else ()
    height = _HEIGHT
    parts = [_rect(x + d, y + d, width, height, 7, fill, line) for d in (*behind, 0)]
    params = f"{counted(box.params)} params" if box.params else ""
    room = int((width - 30 - 6.2 * len(params)) / 7.6)  # letters of the title that fit beside it
    title = box.title if box.count == 1 else f"{_cut(box.title, room - 5)} × {box.count}"
    parts.append(_text(x + 12, y + 19, _cut(title, room), 13.5, _INK, 'font-weight="600"'))
    parts.append(_text(x + width - 10, y + 19, params, 11, _QUIET, 'text-anchor="end"'))
    parts.append(_text(x + 12, y + 36, _cut(_second_line(box), 54), 11, _QUIET))
    if box.skips:
        parts.append(_skip(x, y, height, box.skips, line))
    return "".join(parts)


def _second_line(box: Box) -> str:
    first, last = box.names[0], box.names[-1]
    names = first if box.count == 1 else f"{first} … {last.rpartition('.')[2]}"
    return " · ".join(part for part in [names, *box.details] if part)


def _skip(x: float, y: float, height: float, count: int, line: str) -> str:
    """A loop at the left edge: what comes in is added again."""
    path = f"M{x:.1f},{y + 8:.1f} h-8 q-8,0 -8,8 V{y + height - 16:.1f} q0,8 8,8 h6"
    loop = f'<path d="{path}" fill="none" stroke="{line}" stroke-width="1.6" marker-end="url(#tip)"/>'
    circle = (
        f'<circle cx="{x - 16:.1f}" cy="{y + height / 2:.1f}" r="8" fill="#ffffff" stroke="{line}" stroke-width="1.4"/>'
    )
    times = _text(x - 28, y + height / 2 + 4, f"{count}×", 11, _QUIET, 'text-anchor="end"') if count > 1 else ""
    return loop + circle + _text(x - 16, y + height / 2 + 4.2, "+", 13, _INK, 'text-anchor="middle"') + times


def _width(box: Box) -> float:
    if box.kind == "merge":
        return max(_ROUND, 9.0 * len(box.title) + 14)
    return 140 if box.kind == "end" else _WIDTH


def _height(box: Box) -> float:
    if box.kind in ("merge", "end"):
        return _ROUND if box.kind == "merge" else 28
    return _HEIGHT + (_STACK if box.count > 1 else 0)


def _rect(x: float, y: float, width: float, height: float, radius: float, fill: str, line: str) -> str:
    size = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:.1f}"'
    return f'<rect {size} fill="{fill}" stroke="{line}" stroke-width="1.3"/>'


def _text(x: float, y: float, words: str, size: float, colour: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" {more}>{escape(words)}</text>'


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"


def _quoted(words: str) -> str:
    return escape(words, {'"': "&quot;"})

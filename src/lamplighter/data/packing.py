"""Packs texts into rows of as many tokens as fit, so that hardly any place of a batch is padding.

Rows stay texts: a row of training is what a client might send, and one tokenizer makes the tokens of both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from lamplighter.core.errors import DataError
from lamplighter.data.tokenization.encoding import Encoder

Count = Callable[[Sequence[str]], Sequence[int]]
"""Texts -> how many tokens each has."""

_WORD = re.compile(r"\s*\S+")  # a word with the white space before it: where tokenizers divide texts anyway


def pack(groups: Iterable[Sequence[str]], count: Count, room: int) -> list[str]:
    """Divide texts at white space into rows of at most ``room`` tokens, each as long as can be.

    The rows, one after the other, are the texts; only white space at their ends is left out, and a word of more than
    ``room`` tokens is cut inside.

    Args:
        groups: texts in the order they are packed; where one ends, its row goes on with the next of its group.
        count: of a tokenizer.
        room: tokens of a row.

    Raises:
        DataError: a single character has more tokens than fit into a row.

    >>> words = lambda texts: [len(text.split()) for text in texts]
    >>> pack([["to be or not to be </s>", " that is the question </s>"], ["to die"]], words, room=4)
    ['to be or not', ' to be </s> that', ' is the question </s>', 'to die']
    """
    chunks = [[word for text in group for word in _WORD.findall(text)] for group in groups]
    sizes = _sizes([word for group in chunks for word in group], count)
    rows = [row for group in chunks for row in _filled(group, sizes, room)]
    return list(_checked(rows, count, room))


def pack_passages(
    passages: Sequence[str], ends: Sequence[bool], encoder: Encoder, room: int, end: str, join: bool
) -> list[str]:
    """Rows of at most ``room`` tokens. Where a passage was cut off, a row ends, too.

    Args:
        passages: texts without a gap, see `lamplighter.data.documents.passages`.
        ends: whether its document ends with each.
        encoder: counts tokens.
        room: tokens of a row.
        end: token put behind each document; empty: none, but an empty line between two documents of a row.
        join: whether a row goes on with the next document where one ends.
    """
    groups: list[list[str]] = []
    goes_on = False
    for text, last in zip(passages, ends):
        if not goes_on:
            groups.append([])
        lead = "" if end or not groups[-1] else "\n\n"
        groups[-1].append(lead + text.strip() + (end if last else ""))
        goes_on = last and join
    encode = encoder.tokenizer.encode_batch_fast
    return pack(groups, lambda rows: [len(row) for row in encode(list(rows), add_special_tokens=False)], room)


def _sizes(chunks: Sequence[str], count: Count) -> dict[str, int]:
    distinct = list(dict.fromkeys(chunks))
    return dict(zip(distinct, count(distinct)))


def _filled(chunks: Sequence[str], sizes: dict[str, int], room: int) -> list[list[str]]:
    """Words put into rows one after the other, as if their tokens simply added up."""
    rows: list[list[str]] = []
    left = 0
    for chunk in chunks:
        if not rows or sizes[chunk] > left:
            rows.append([])
            left = room
        rows[-1].append(chunk)
        left -= sizes[chunk]
    return rows


def _checked(rows: list[list[str]], count: Count, room: int) -> Iterator[str]:
    """The texts of rows; rows that have too many tokens after all are halved."""
    waiting = [(row, size) for row, size in zip(rows, count(["".join(row) for row in rows]))][::-1]
    while waiting:
        row, size = waiting.pop()
        if size <= room:
            if size:  # characters that leave no token, such as control characters, are no row
                yield "".join(row)
            continue
        halves = _halves(row, room)
        waiting += list(zip(halves, count(["".join(half) for half in halves])))[::-1]


def _halves(row: list[str], room: int) -> list[list[str]]:
    if len(row) > 1:
        return [row[: len(row) // 2], row[len(row) // 2 :]]
    (word,) = row
    middle = (len(word) + 1) // 2
    if len(word) < 2:
        raise DataError(f"the character {word!r} has more than {room} tokens; use longer rows (data.length)")
    return [[word[:middle]], [word[middle:]]]

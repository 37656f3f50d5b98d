"""Files out of a multipart/form-data body, in memory and in order (RFC 7578)."""

from __future__ import annotations

import logging

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from lamplighter.serving.errors import RequestError

MAX_FILES = 1000

# It logs a warning for each broken form. The client is told instead; nobody outside should be able to fill the log.
logging.getLogger("python_multipart.multipart").setLevel(logging.ERROR)


def files_of(body: bytes, content_type: bytes) -> list[bytes]:
    """Contents of the parts that have a file name; other fields are skipped.

    Args:
        body: the whole form.
        content_type: header value, which holds the boundary.

    Raises:
        RequestError: 400 no boundary, a form cut short, no file in it; 413 more than `MAX_FILES` parts.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise RequestError("the multipart form names no boundary in its Content-Type", 400)
    collector = _Collector()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": collector.part_begin,
                "on_header_field": collector.header_field,
                "on_header_value": collector.header_value,
                "on_header_end": collector.header_end,
                "on_part_data": collector.part_data,
                "on_part_end": collector.part_end,
                "on_end": collector.end,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise RequestError(f"the multipart form is broken: {error}", 400) from None
    if not collector.complete:
        raise RequestError("the multipart form is cut short: its closing boundary is missing", 400)
    if not collector.files:
        raise RequestError("the form holds no file; send at least one, for instance curl -F file=@picture.png", 400)
    return collector.files


class _Collector:
    """Callbacks of the parser. It hands out slices of the body, here put together part by part."""

    def __init__(self) -> None:
        self.files: list[bytes] = []
        self.complete = False
        self._parts = 0
        self._field = b""
        self._value = b""
        self._is_file = False
        self._data = bytearray()

    def part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_FILES:
            raise RequestError(f"more than {MAX_FILES} parts in one form", 413)
        self._is_file = False
        self._data = bytearray()

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._is_file = b"filename" in parse_options_header(self._value)[1]
        self._field = self._value = b""

    def part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._data += data[start:end]

    def part_end(self) -> None:
        if self._is_file:
            self.files.append(bytes(self._data))

    def end(self) -> None:
        self.complete = True

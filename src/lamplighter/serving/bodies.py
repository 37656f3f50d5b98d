"""From the bytes of a request to raw rows. Nothing a client sends is ever taken for a path or opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from lamplighter.core.errors import InputError, NotAnImageError
from lamplighter.core.signature import Column, Signature
from lamplighter.data.preprocessing.reading import Layout, from_client, probe
from lamplighter.serving.errors import ClientGoneError, RequestError
from lamplighter.serving.forms import files_of
from lamplighter.serving.responses import Receive

MAX_PIXELS = 25_000_000
"""Pixels of one served image at most (5,000 x 5,000). A small file can claim many more, and each takes memory and time
from all other clients; training, whose images are the user's own, allows more."""


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> bytes:
    """The whole body, refused as soon as it is known to be too large.

    Args:
        receive: the ASGI channel.
        headers: names in lower case.
        limit: bytes.

    Raises:
        RequestError: 413 too large, 415 compressed.
        ClientGoneError: the client left before the end.
    """
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding != b"identity":
        raise RequestError(f"Content-Encoding {_text(encoding)} is not supported; send the body uncompressed", 415)
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def parse_rows(body: bytes, headers: Mapping[bytes, bytes], signature: Signature) -> list[Any]:
    """Rows in the form ``Bundle.preprocess`` takes: dicts, texts, encoded image bytes, or arrays.

    Raises:
        RequestError: 400 broken JSON or form, 415 a media type this model does not take.
        InputError: 422 with row and field.
    """
    media_type = _text(headers.get(b"content-type", b"application/octet-stream")).partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        return _json_rows(parse_json(body), signature)
    if media_type == "text/plain" and text_column(signature) is not None:
        return [_plain_text(body, headers[b"content-type"])]
    upload = media_type.startswith("image/") or media_type in ("application/octet-stream", "multipart/form-data")
    if not upload:
        raise RequestError(
            f"Content-Type {media_type} is not supported; send application/json with"
            ' {"rows": [...]}'
            + (", or an image upload" if image_column(signature) else "")
            + (", or one text as text/plain" if text_column(signature) else ""),
            415,
        )
    column = image_column(signature)
    if column is None:
        raise RequestError(
            f"this model takes rows, not uploads ({media_type}): "
            'send Content-Type: application/json and {"rows": [...]}',
            415,
        )
    images = files_of(body, headers[b"content-type"]) if media_type == "multipart/form-data" else [body]
    for index, image in enumerate(images):
        if not image:
            raise NotAnImageError("the image is empty", row=index)
    return [_image(image, index, column.name) for index, image in enumerate(images)]


def parse_json(body: bytes) -> Any:
    """JSON of a body.

    Raises:
        RequestError: 400 with line and column.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        where = f" at line {error.lineno}, column {error.colno}" if body else ""
        raise RequestError(f"the body is not valid JSON: {error.msg}{where}", 400) from None


def image_column(signature: Signature) -> Column | None:
    """The input of a model that takes one image for each row, else ``None``."""
    only = signature.inputs[0] if len(signature.inputs) == 1 else None
    return only if only is not None and only.kind == "image" else None


def text_column(signature: Signature) -> Column | None:
    """The input of a model that takes one text for each row, else ``None``."""
    only = signature.inputs[0] if len(signature.inputs) == 1 else None
    return only if only is not None and only.kind == "text" else None


def _plain_text(body: bytes, content_type: bytes) -> str:
    """The whole body is one text."""
    parameters = _text(content_type).lower().split(";")[1:]
    charset = next((p.partition("=")[2].strip(' "') for p in parameters if p.strip().startswith("charset=")), "utf-8")
    try:
        return body.decode(charset)
    except LookupError:
        raise RequestError(f"charset {charset[:40]} is unknown here; send utf-8", 415) from None
    except UnicodeDecodeError as error:
        raise RequestError(f"the body is not {charset} text: {error.reason} at byte {error.start}", 400) from None


def _json_rows(content: Any, signature: Signature) -> list[Any]:
    if not isinstance(content, dict):
        raise InputError('the body must be an object: {"rows": [...]}')
    unknown = [key for key in content if key != "rows"]
    if "rows" not in content or unknown:
        found = f", not {', '.join(map(repr, unknown[:5]))}" if unknown else ""
        raise InputError(f'the body must have one key, "rows"{found}', field="rows")
    rows = content["rows"]
    if not isinstance(rows, list) or not rows:
        raise InputError("must be a list of at least one row", field="rows")
    return [_row(row, index, signature) for index, row in enumerate(rows)]


def _row(row: Any, index: int, signature: Signature) -> Any:
    """One row as ``Bundle.preprocess`` takes it. Text that stands for an image is base64, never a path."""
    only = signature.inputs[0]
    if len(signature.inputs) > 1 or only.kind not in ("image", "array"):
        if isinstance(row, dict):
            for column in signature.inputs:
                if column.kind == "image" and row.get(column.name) is not None:
                    row[column.name] = _image(row[column.name], index, column.name)
        return row
    if isinstance(row, dict):
        if list(row) != [only.name]:
            raise InputError(f'must have one key, "{only.name}", not {list(row)[:5]}', row=index)
        row = row[only.name]
    elif isinstance(row, str):
        wanted = f'{{"{only.name}": "<base64>"}}' if only.kind == "image" else "a nested list of numbers"
        raise InputError(f"text is not a row of this model; write {wanted}", row=index)
    return _image(row, index, only.name) if only.kind == "image" else row


def _image(value: Any, row: int, field: str) -> Any:
    try:
        content = from_client(value)
        if not isinstance(content, list):
            _check_pixels(probe(content))
        return content
    except InputError as error:
        raise type(error)(error.reason, row=row, field=field) from None


def _check_pixels(layout: Layout) -> None:
    """Refuse, by its head alone, an image that would take seconds and gigabytes to decode."""
    if layout.height * layout.width > MAX_PIXELS:
        size = f"{layout.width} x {layout.height} pixels"
        raise InputError(f"{size} are more than the {MAX_PIXELS // 10**6} million served here; make the image smaller")


def _too_large(limit: int) -> RequestError:
    return RequestError(f"the body is larger than {limit / 1e6:g} MB", 413)


def _text(value: bytes) -> str:
    return value.decode("latin-1")

"""Forms as browsers and curl send them, and broken ones."""

from __future__ import annotations

import pytest

from lamplighter.serving.errors import RequestError
from lamplighter.serving.forms import MAX_FILES, files_of

KIND = b"multipart/form-data; boundary=XyZ"


def part(content: bytes, disposition: bytes = b'form-data; name="file"; filename="a.png"') -> bytes:
    return b"--XyZ\r\nContent-Type: image/png\r\ncontent-DISPOSITION: " + disposition + b"\r\n\r\n" + content + b"\r\n"


def test_files_in_order_byte_for_byte() -> None:
    contents = [bytes(range(256)) * 20, b"", b"\r\n--XyQ\r\n--", b"x" * 3_000_000]
    body = b"".join(part(content) for content in contents) + part(b"note", b'form-data; name="n"') + b"--XyZ--\r\n"
    assert files_of(body, KIND) == contents


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (part(b"x") + b"--XyZ--\r\n", b"multipart/form-data", "no boundary"),
        (part(b"x"), KIND, "cut short"),
        (part(b"x")[:-20], KIND, "cut short"),
        (b"", KIND, "cut short"),
        (b"hello", KIND, "broken|cut short"),
        (part(b"x", b'form-data; name="n"') + b"--XyZ--\r\n", KIND, "no file"),
        (b"--XyZ\r\nbad header\r\n\r\n\r\n--XyZ--\r\n", KIND, "broken"),
    ],
)
def test_broken_forms(body: bytes, kind: bytes, words: str) -> None:
    with pytest.raises(RequestError, match=words) as error:
        files_of(body, kind)
    assert error.value.status == 400


def test_too_many_parts() -> None:
    with pytest.raises(RequestError) as error:
        files_of(part(b"") * (MAX_FILES + 1) + b"--XyZ--\r\n", KIND)
    assert error.value.status == 413

"""Downloads that can be interrupted, and are believed only when their SHA-256 fits."""

from __future__ import annotations

import contextlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from lamplighter.core import files
from lamplighter.core.errors import DataError

_BLOCK = 2**18
_CONNECTION_LOST = (OSError, http.client.HTTPException)  # URLError and timeouts are OSErrors


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/lamplighter``, or ``~/.cache/lamplighter``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "lamplighter"


def fetch(
    url: str,
    path: Path,
    sha256: str,
    progress: bool = True,
    retries: int = 4,
    timeout: float = 30,
    backoff: float = 1,
) -> Path:
    """Download a file unless it is there already.

    Bytes go to ``<path>.part``; a later call, or a retry, goes on from there where the server knows ranges. The file
    gets its name only when its hash fits.

    Args:
        url: ``http://`` or ``https://``.
        path: destination; its folder is made.
        sha256: hexadecimal digest of the whole file.
        progress: show a bar on a terminal, plain lines elsewhere (standard error).
        retries: further attempts after a lost connection or a server error (5xx, 429).
        timeout: seconds without an answer before an attempt counts as lost.
        backoff: seconds before the first retry; doubles each time.

    Returns:
        ``path``.

    Raises:
        DataError: not to be had, or other bytes than expected (they are deleted).
    """
    if not url.startswith(("http://", "https://")):
        raise DataError(f"{url}: only http and https addresses can be downloaded")
    if path.exists() and files.sha256(path) == sha256:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    for attempt in range(retries + 1):
        try:
            _receive(url, part, timeout, progress)
            break
        except urllib.error.HTTPError as error:
            error.close()
            if attempt == retries or not (error.code >= 500 or error.code == 429):
                raise DataError(f"{url}: the server answers {error.code} {error.reason}") from None
        except _CONNECTION_LOST as error:
            if attempt == retries:
                raise DataError(f"{url}: cannot be downloaded ({error or type(error).__name__})") from None
        time.sleep(backoff * 2**attempt)
    found = files.sha256(part)
    if found != sha256:
        part.unlink()
        raise DataError(f"{url}: wrong content (sha256 {found[:16]}..., expected {sha256[:16]}...); nothing was kept")
    part.replace(path)
    return path


def _receive(url: str, part: Path, timeout: float, progress: bool) -> None:
    """Append to ``part`` what is missing."""
    present = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "lamplighter"})
    if present:
        request.add_header("Range", f"bytes={present}-")
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not present:
            raise
        error.close()
        if error.headers.get("Content-Range") == f"bytes */{present}":
            return  # all of it was there already
        part.unlink()
        _receive(url, part, timeout, progress)
        return
    with response:
        resumed = response.status == 206 and _starts_at(response, present)
        if response.status == 206 and not resumed:
            part.unlink(missing_ok=True)
            raise ConnectionError("the server sent another range than asked for")
        length = response.headers.get("Content-Length")
        done = present if resumed else 0
        total = done + int(length) if length and length.isdigit() else None
        with part.open("ab" if resumed else "wb") as file, _bar(part.stem, done, total, progress) as advance:
            done += _copy(response, file, advance)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and done < total:
        raise ConnectionError(f"connection lost after {done} of {total} bytes")


def _starts_at(response: http.client.HTTPResponse, position: int) -> bool:
    return (response.headers.get("Content-Range") or "").startswith(f"bytes {position}-")


def _copy(response: http.client.HTTPResponse, file: IO[bytes], advance: Callable[[int], None]) -> int:
    copied = 0
    while block := response.read1(_BLOCK):
        file.write(block)
        copied += len(block)
        advance(len(block))
    return copied


@contextlib.contextmanager
def _bar(name: str, done: int, total: int | None, show: bool) -> Iterator[Callable[[int], None]]:
    """A function to call with the number of bytes that came."""
    if not show:
        yield _nothing
    elif not sys.stderr.isatty():
        size = f" ({total / 1e6:.1f} MB)" if total else ""
        print(f"downloading {name}{size}{f', from byte {done}' if done else ''}", file=sys.stderr, flush=True)
        yield _nothing
    else:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn as Speed

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), Speed(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(f"downloading {name}", total=total, completed=done)
            yield lambda count: bars.advance(task, count)


def _nothing(count: int) -> None:
    """No bar to advance."""
    del count

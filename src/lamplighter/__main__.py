"""``lamp``, also as ``python -m lamplighter``: runs a command and turns errors into one line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from lamplighter.core import extras
from lamplighter.core.errors import InterruptedRunError, LamplighterError


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command line.

    A `LamplighterError`, or an error of the file system, prints one line to stderr and exits with its code;
    ``--debug`` anywhere on the line shows the traceback instead. Ctrl-C exits 130.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    before = signal.signal(signal.SIGINT, _interrupted)
    try:
        _run([word for word in words if word != "--debug"])
    except LamplighterError as error:
        if debug:
            raise
        if os.environ.get("RANK", "0") == "0":  # of several processes that fail alike one says so
            for line in str(error).splitlines():
                print(f"error: {line}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `lamp topics | head`
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        if debug or error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    finally:
        signal.signal(signal.SIGINT, before)


def _run(words: list[str]) -> None:
    try:
        from lamplighter.cli.app import app

        app(args=words, prog_name="lamp")
    except ModuleNotFoundError as error:
        raise extras.explained(error) or error from error


def _interrupted(signum: int, _: FrameType | None) -> None:
    """Ctrl-C where nothing is at stake. Training and serving have handlers of their own."""
    raise InterruptedRunError("stopped", signum)


if __name__ == "__main__":
    main()

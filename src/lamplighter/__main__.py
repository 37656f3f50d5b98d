"""``lamp``, also as ``python -m lamplighter``: runs a command and turns errors into one line and an exit code."""

from __future__ import annotations

import sys

from lamplighter.core import extras
from lamplighter.core.errors import LamplighterError


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command line.

    A `LamplighterError` prints its message to stderr and exits with its code; ``--debug`` anywhere on the line shows
    the traceback instead.
    """
    from lamplighter.cli.app import app

    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        try:
            app(args=words, prog_name="lamp")
        except ModuleNotFoundError as error:
            raise extras.explained(error) or error from error
    except LamplighterError as error:
        if debug:
            raise
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `lamp topics | head`
        sys.stderr.close()
        sys.exit(141)


if __name__ == "__main__":
    main()

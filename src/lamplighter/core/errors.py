"""Every error a user can cause or meet. Each says what was wrong, where, and what to do about it.

The command line prints ``str(error)`` on one line and exits with ``error.exit_code``; the server answers with
``error.status``. Anything that is not a ``LamplighterError`` is a bug of ours and keeps its traceback.
"""

from __future__ import annotations


class LamplighterError(Exception):
    """Base of all errors that are not bugs.

    Args:
        message: one or more lines for a person: what, where, and what to do.

    Attributes:
        exit_code: exit status of the command line.
        status: HTTP status when the error reaches a client.
    """

    exit_code: int = 2
    status: int = 400


class RecipeError(LamplighterError):
    """A recipe does not fit its schema. ``problems`` holds one line for each mistake, in the order of the file."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class UnknownComponentError(LamplighterError):
    """A name that no component of that kind is registered under."""


class MissingExtraError(LamplighterError):
    """An optional dependency is not installed. The message has the pip line that adds it."""


class DataError(LamplighterError):
    """A data set is missing, broken, or does not fit the recipe. The message names file, row and column."""


class InputError(LamplighterError):
    """One row given for prediction does not fit the model's signature.

    Args:
        message: what is wrong with the value.
        row: zero-based index of the row within the request or file, if known.
        field: name of the input column, if known.
    """

    status = 422

    def __init__(self, message: str, *, row: int | None = None, field: str | None = None) -> None:
        self.row = row
        self.field = field
        self.reason = message
        where = [f"row {row}"] if row is not None else []
        where += [f"field '{field}'"] if field is not None else []
        super().__init__(f"{', '.join(where)}: {message}" if where else message)


class NotAnImageError(InputError):
    """The bytes given where an image belongs cannot be decoded as one."""

    status = 415


class RunError(LamplighterError):
    """A run directory is in the way, incomplete, or was made by another recipe."""


class WeightsError(LamplighterError):
    """A file of weights is missing, damaged, not the one that was recorded, or does not fit the model."""


class TrainingError(LamplighterError):
    """Training cannot go on: a non-finite loss, or memory that does not suffice."""


class InterruptedRunError(LamplighterError):
    """Training was stopped by a signal after a checkpoint was written.

    Args:
        message: says where the checkpoint is and how to resume.
        signum: the signal; the exit code is ``128 + signum`` (130 for Ctrl-C, 143 for SIGTERM).
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


class BundleError(LamplighterError):
    """A bundle is missing, damaged, of an unknown format version, or failed its parity gate."""


class ServingError(LamplighterError):
    """The server cannot start: port in use, no bundle, two bundles of one name."""

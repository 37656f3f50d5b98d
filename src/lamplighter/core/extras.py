"""Which extra brings which package, so that a missing one is an answerable error."""

from __future__ import annotations

import importlib.util

from lamplighter.core.errors import MissingExtraError

EXTRA_OF = {
    "torch": "train",
    "torchvision": "train",
    "sklearn": "train",
    "matplotlib": "train",
    "optuna": "search",
    "onnx": "train",
    "onnxscript": "train",
    "onnxruntime": "serve",
    "PIL": "serve",
    "scipy": "serve",
    "fastapi": "serve",
    "uvicorn": "serve",
    "uvloop": "serve",
    "httptools": "serve",
    "orjson": "serve",
    "prometheus_client": "serve",
    "python_multipart": "serve",
    "sqlalchemy": "serve",
    "jinja2": "serve",
    "tokenizers": "serve",
    "pyarrow": "data",
    "psycopg": "postgres",
    "tensorboard": "loggers",
    "mlflow": "loggers",
}
"""Import name -> extra of ``pyproject.toml``. Packages that several extras bring stand under the smallest."""


def explained(error: ModuleNotFoundError) -> MissingExtraError | None:
    """The error with the pip line that helps, when an optional package is what is missing.

    >>> print(explained(ModuleNotFoundError("No module named 'torch'", name="torch.nn")))
    this needs the package 'torch', which is not installed; run: pip install 'lamplighter[train]'
    """
    package = (error.name or "").split(".")[0]
    extra = EXTRA_OF.get(package)
    return missing_extra(package, extra) if extra else None


def require(package: str) -> None:
    """Say now that an optional package is missing, without the time that importing it takes.

    Raises:
        MissingExtraError: it is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:  # a folder of that name that happens to lie here has no origin
        raise missing_extra(package, EXTRA_OF[package])


def missing_extra(package: str, extra: str) -> MissingExtraError:
    """The error for an optional package that is not installed."""
    return MissingExtraError(
        f"this needs the package '{package}', which is not installed; run: pip install 'lamplighter[{extra}]'"
    )

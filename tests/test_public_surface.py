"""The names other people's code relies on. Adding is free; a change here needs a CHANGELOG entry."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import lamplighter as lamp
from lamplighter.core.catalog import CATALOG
from lamplighter.core.recipe import Recipe

NAMES = {"Bundle", "LamplighterError", "Recipe", "Run", "fit", "load_bundle", "register", "serve"}
VERBS = {
    "up", "train", "evaluate", "predict", "export", "serve", "demo", "new", "recipes", "models", "schema", "topics",
    "doctor", "runs", "search", "ensemble", "transfer", "weights", "study",
}  # fmt: skip
COMPONENTS = {
    "source": {"arrays", "digits", "fashion-mnist", "image-folder", "image-table", "table"},
    "preprocess": {"decode-image", "encode-table", "resize", "stack-images"},
    "augment": {"random-flip", "random-shift"},
    "model": {
        "cnn",
        "mlp",
        "own",
        "resnet101",
        "resnet18",
        "resnet34",
        "resnet50",
        "resnext50_32x4d",
        "wide_resnet50_2",
    },
    "task": {"classification", "distillation", "ensemble", "regression"},
    "loss": {
        "bce",
        "binary-focal",
        "cross-entropy",
        "dice",
        "focal",
        "huber",
        "kl",
        "log-cosh",
        "mae",
        "mse",
        "quantile",
        "smooth-l1",
        "tversky",
    },
    "optimizer": {
        "adadelta",
        "adafactor",
        "adagrad",
        "adam",
        "adamax",
        "adamw",
        "lion",
        "muon",
        "nadam",
        "proximal-sgd",
        "radam",
        "rmsprop",
        "sgd",
    },
    "schedule": {
        "constant",
        "cosine",
        "cyclic",
        "exponential",
        "multi-step",
        "one-cycle",
        "plateau",
        "polynomial",
        "step",
        "warm-restarts",
        "warmup-cosine",
        "wsd",
    },
    "clip": {"adaptive", "norm", "value"},
    "callback": {
        "cutmix",
        "early-stopping",
        "ema",
        "freeze",
        "mixup",
        "mixup-cutmix",
        "mlflow",
        "snapshots",
        "swa",
        "tensorboard",
        "top-k",
    },
    "metric": {
        "accuracy",
        "adaptive_ece",
        "average_precision",
        "balanced_accuracy",
        "brier",
        "cohen_kappa",
        "dice",
        "dice_of_images",
        "ece",
        "entity_f1",
        "explained_variance",
        "f_beta",
        "log_loss",
        "mae",
        "map",
        "mape",
        "max_error",
        "mcc",
        "mce",
        "mean_iou",
        "median_absolute_error",
        "mrr",
        "mse",
        "ndcg",
        "pinball",
        "precision",
        "precision_at_k",
        "r2",
        "recall",
        "recall_at_k",
        "rmse",
        "roc_auc",
        "top_k_accuracy",
    },
    "threshold": {"fixed", "max-f-beta", "min-cost", "precision-at-recall", "recall-at-precision", "youden"},
    "format": {"onnx", "safetensors"},
    "detector": {"mmd", "univariate"},
    "sink": {"log", "webhook"},
}
PARAMETERS = {
    "fit": ["recipe", "out"],
    "load_bundle": ["path"],
}
METHODS = {
    "Run": ["export", "metrics"],
    "Bundle": ["predict"],
    "Recipe": ["load"],
}
SECTIONS = {
    "name", "seed", "device", "threads", "data", "augment", "model", "task", "train", "bundle", "serve", "monitor",
}  # fmt: skip


def test_top_level_names() -> None:
    assert set(lamp.__all__) >= NAMES
    for name in NAMES:
        assert getattr(lamp, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lamp.nothing


def test_parameters_and_methods() -> None:
    for function, parameters in PARAMETERS.items():
        assert list(inspect.signature(getattr(lamp, function)).parameters)[: len(parameters)] == parameters
    for owner, names in METHODS.items():
        for name in names:
            assert hasattr(getattr(lamp, owner), name)


def test_models_and_data_and_drift() -> None:
    from lamplighter import data, models
    from lamplighter.monitor import drift

    assert {"cnn", "mlp"} <= set(models.list())
    assert callable(models.create)
    assert list(inspect.signature(drift.check).parameters)[:4] == ["reference", "current", "alpha", "seed"]
    assert list(inspect.signature(data.Loader).parameters)[:4] == ["rows", "batch_size", "shuffle", "seed"]


def test_recipe_sections_and_components() -> None:
    assert set(Recipe.model_fields) >= SECTIONS
    for kind, names in COMPONENTS.items():
        assert set(CATALOG[kind]) >= names


def run_lamp(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "lamplighter", *arguments], capture_output=True, text=True, timeout=60)


def test_verbs() -> None:
    shown = run_lamp("--help")
    assert shown.returncode == 0
    for verb in VERBS:
        assert f" {verb} " in shown.stdout


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom lamplighter.__main__ import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'numpy', 'pydantic', 'sklearn', 'onnxruntime', 'scipy') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert shown.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_explains_itself(verb: str) -> None:
    shown = run_lamp(verb, "--help")
    assert shown.returncode == 0, shown.stderr
    assert "Usage" in shown.stdout

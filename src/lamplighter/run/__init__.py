"""`fit` trains what a recipe describes; `Run` is the directory it leaves behind. Where the floors below meet."""

from lamplighter.run.build import build_source, build_task
from lamplighter.run.directory import Run
from lamplighter.run.fitting import fit
from lamplighter.run.judging import calibrated, conclude, log_test_opened

__all__ = ["Run", "build_source", "build_task", "calibrated", "conclude", "fit", "log_test_opened"]

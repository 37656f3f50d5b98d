"""Examinations of a network before and during training; each leaves it exactly as it was."""

"""Weights from elsewhere: reading files, translating names, loading what fits and saying what does not."""

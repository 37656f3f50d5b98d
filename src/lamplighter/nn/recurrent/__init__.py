"""Recurrent networks: cells and layers written out, and the same layers over torch's kernels, which the models use."""

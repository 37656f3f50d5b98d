"""A recipe examined before its training: data, network, gradients, learning rate, cost. ``lamp doctor RECIPE``."""

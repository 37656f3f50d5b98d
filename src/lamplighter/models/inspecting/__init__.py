"""Looking into a network: its layers, cost, sizes, receptive field, and pictures of what it does."""

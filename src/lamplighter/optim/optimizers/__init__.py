"""Optimizers by catalog name: torch's own through thin typed functions, and those that torch does not have.

Three of torch's are left out on purpose. LBFGS asks for the loss several times in one step, which a training loop over
mini-batches does not offer. Rprop needs the gradient of all rows, and obeys neither a schedule nor a learning-rate
finder. ASGD leaves its average where nothing evaluates or saves it; an averaging callback beside ``sgd`` does.
"""

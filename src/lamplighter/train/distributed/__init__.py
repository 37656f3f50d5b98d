"""Several processes that train one model together; started by torchrun or anything else that sets its variables."""

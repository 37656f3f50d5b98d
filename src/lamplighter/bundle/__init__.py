"""The bundle: what training hands to serving. Import its modules directly; only `runtime` is free of torch."""

"""Tasks, users, measures and runs: the same methods on the same footing."""

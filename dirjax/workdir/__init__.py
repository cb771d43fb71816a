"""A run directory: files, checkpoints, logs, lock."""

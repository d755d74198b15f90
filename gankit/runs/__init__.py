"""Runs on disk: the run directory, its logs, checkpoints and weight files."""

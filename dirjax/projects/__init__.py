"""Experiments with their own training loop."""

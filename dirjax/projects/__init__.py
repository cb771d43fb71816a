"""Experiments with a loop of their own."""

"""Evaluates a model on a split or on new rows: metrics, predictions, features."""

"""Describes a data set before training."""

"""Objectives: one file per method; `base` holds the types and composition."""

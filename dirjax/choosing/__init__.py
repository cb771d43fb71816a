"""Choosing a method for a data set: what is tried, what is kept, what is said."""

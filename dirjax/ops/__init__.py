"""Array operations, independent of labels and methods."""

"""AgeDB-DIR for TensorFlow Datasets."""

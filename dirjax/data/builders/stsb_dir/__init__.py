"""STS-B-DIR for TensorFlow Datasets."""

"""NYUD2-DIR for TensorFlow Datasets."""

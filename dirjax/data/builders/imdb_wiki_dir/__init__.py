"""IMDB-WIKI-DIR for TensorFlow Datasets."""

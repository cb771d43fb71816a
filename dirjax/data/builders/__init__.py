"""Builders of TensorFlow Datasets for face data that users bring along.

Each folder is one in the form that `tfds build` takes. Training does not need them:
`configs/agedb_dir.py` and `configs/imdb_wiki_dir.py` read the same folder directly.
"""

"""Builders of TensorFlow Datasets for benchmarks whose data users bring along.

Each folder is one in the form that `tfds build` takes. Training does not need them: the
configs of these benchmarks read the same folders directly, and those of faces read what
the builders make, too.
"""

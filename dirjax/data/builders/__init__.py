"""Builders of TensorFlow Datasets for benchmarks whose data users bring along.

Each folder is one in the form of TensorFlow Datasets; `python -m dirjax.data build NAME
--manual_dir FOLDER` runs it. Training does not need them: the configs of these
benchmarks read the same folders directly, and what the builders make with
`--config.data.kind=tfds`.
"""

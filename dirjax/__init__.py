"""dirjax: deep imbalanced regression in JAX.

`import dirjax` is light: it imports neither JAX nor TensorFlow. Rooms are imported
by name, `from dirjax import labels, metrics, objectives`.
"""

__version__ = "0.1.0"

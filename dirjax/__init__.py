"""dirjax: deep imbalanced regression in JAX.

`import dirjax` is light: it imports neither JAX nor TensorFlow. Rooms are imported
by name, `from dirjax import labels, metrics, objectives`.
"""

from dirjax.cli import entry as _entry

__version__ = "0.1.0"

if _entry.is_command(__name__):
    _entry.begin()

"""dirjax: deep imbalanced regression in JAX.

`import dirjax` is light: it imports neither JAX nor TensorFlow. Rooms are imported
by name, `from dirjax import labels, metrics, objectives`.
"""

from typing import Any as _Any

from dirjax.cli import entry as _entry

__version__ = "0.1.0"

# Name -> its module, and its name there.
_LAZY = {
    "DIRRegressor": ("interface.estimator", "DIRRegressor"),
    "Model": ("interface.model", "Model"),
    "fit": ("interface.training", "fit"),
    "load": ("interface.model", "load"),
}
# Commands that are functions, too.
_COMMANDS = ("choose", "describe", "export")


def __getattr__(name: str) -> _Any:
    import importlib

    if name in _COMMANDS:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_COMMANDS})


if _entry.is_command(__name__):
    _entry.begin()

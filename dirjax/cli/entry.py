"""What a command does before its imports: Ctrl-C, and where modules are searched.

Only modules that Python has loaded by itself are imported at the top, since a file in
the current folder may hide any other.
"""

from __future__ import annotations

import os
import sys

# What is saved stays valid, and what is not saved is done again.
INTERRUPTED = "interrupted. To go on, run the same command again."


def is_command(package: str) -> bool:
    """Whether Python is being started as `python -m PACKAGE...`.

    True only while Python looks for the module, before any of it is run.
    """
    words = sys.orig_argv
    named = words[words.index("-m") + 1 :][:1] if "-m" in words else []
    return sys.argv[:1] == ["-m"] and any(
        module.partition(".")[0] == package for module in named
    )


def begin() -> None:
    """Searches the current folder last, and ends quietly on Ctrl-C.

    `python -m` puts the current folder first, where a config named `csv.py` would hide
    Python's own module. Modules of your own are still found there.
    """
    here = os.getcwd()
    if sys.path and sys.path[0] in ("", here):
        del sys.path[0]
    if here not in sys.path:
        sys.path.append(here)
    import signal

    # A handler other than Python's is somebody's decision, such as that of nohup.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def also_called(module: str, function: str) -> None:
    """Makes a module callable, so that a command is a function in Python, too.

    Args:
      module: name of the command's module: `dirjax.describe(frame, "price")`.
      function: what the call goes to, `package.module:name`, imported when called.
    """
    import importlib
    import types

    class Command(types.ModuleType):
        """The module of a command, which can be called."""

        def __call__(self, *arguments: object, **keywords: object) -> object:
            where, _, name = function.partition(":")
            found = getattr(importlib.import_module(where), name)
            return found(*arguments, **keywords)

    sys.modules[module].__class__ = Command


def _end(number: int, frame: object) -> None:
    """Ends the process, without an exception that imports and callbacks may lose."""
    del frame
    os.write(2, f"dirjax: {INTERRUPTED}\n".encode())
    os._exit(128 + number)


def interruptible() -> None:
    """Makes Ctrl-C raise KeyboardInterrupt again, for work that has to clean up."""
    import signal

    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)

"""What every command shares: wrong input is one sentence and exit status 2."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NoReturn


class InputError(ValueError):
    """The user's input is wrong; the message says what to do. Exit status 2."""


class Stopped(Exception):
    """The run was asked to stop and has saved its state.

    Attributes:
      signal: number of the signal; the exit status is 128 more.
    """

    def __init__(self, message: str, number: int = signal.SIGTERM):
        super().__init__(message)
        self.signal = number


class Failed(RuntimeError):
    """The run cannot go on; the message is for the user. Exit status 1."""


class Interrupts:
    """Notes SIGTERM and SIGINT, so that the loop can save before it stops.

    A second signal of the same kind acts as it would without us. With several
    processes signals are left to JAX, which agrees with all of them on a step.

    Attributes:
      received: number of the first signal, or 0.
    """

    def __init__(self):
        self.received = 0
        self._before: dict[int, Any] = {}

    def _note(self, number: int, frame: Any) -> None:
        del frame
        self.received = self.received or number
        signal.signal(number, self._before[number])

    def __enter__(self) -> Interrupts:
        import jax

        # Handlers can be set in the main thread only.
        main = threading.current_thread() is threading.main_thread()
        if main and jax.process_count() == 1:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def stop(self, message: str) -> NoReturn:
        """Raises `Stopped`."""
        raise Stopped(message, self.received or signal.SIGTERM)


def run(
    main: Callable[[Sequence[str]], None], argv: Sequence[str], debug: bool = False
) -> int:
    """Calls `main(argv)` and turns what it raises into an exit status.

    Args:
      main: the command.
      argv: arguments, without the program's name.
      debug: let a wrong input raise, with its traceback.

    Returns:
      0 done, 2 wrong input, 128 + signal if the run was stopped after a
      checkpoint (143 for SIGTERM). Anything else raises, which Python turns into
      exit status 1.

    Example:
      >>> run(lambda argv: None, [])
      0
    """
    try:
        main(argv)
    except InputError as error:
        if debug:
            raise
        print(f"dirjax: {error}", file=sys.stderr)
        return 2
    except Failed as error:
        if debug:
            raise
        print(f"dirjax: {error}", file=sys.stderr)
        return 1
    except Stopped as error:
        print(f"dirjax: {error}", file=sys.stderr)
        return 128 + error.signal
    return 0

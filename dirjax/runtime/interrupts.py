"""Records SIGTERM and SIGINT, so that a loop can save before it stops."""

from __future__ import annotations

import signal
import threading
from typing import Any, NoReturn

from dirjax.errors import Stopped


class Interrupts:
    """Records SIGTERM and SIGINT, so that the loop can save before it stops.

    A second signal of the same kind has its default effect. With several processes, JAX
    handles signals and makes all processes agree on a step.

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

        # Handlers can only be set in the main thread.
        main = threading.current_thread() is threading.main_thread()
        if main and jax.process_count() == 1:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def stop_after(self, step: int, command: str | None = None) -> NoReturn:
        """Raises `Stopped` with a sentence on how to go on.

        Args:
          step: number of completed steps, which are saved.
          command: the command that goes on, to be pasted; None for the same.
        """
        again = f": {command}" if command else ", run the same command again."
        self.stop(f"stopped after step {step}, which is saved. To go on{again}")

    def stop(self, message: str) -> NoReturn:
        """Raises `Stopped`."""
        raise Stopped(message, self.received or signal.SIGTERM)

"""What every command shares: wrong input is one sentence and exit status 2."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence

from dirjax.errors import FULL, Failed, InputError, Stopped, cause, unsaved


def run(
    main: Callable[[Sequence[str]], None], argv: Sequence[str], debug: bool = False
) -> int:
    """Calls `main(argv)` and turns what it raises into an exit status.

    Args:
      main: the command.
      argv: arguments, without the program's name.
      debug: let a wrong input raise, with its traceback.

    Returns:
      0 done, 1 a run or a disk that fails, 2 wrong input, 128 + signal if the run was
      stopped after a checkpoint (143 for SIGTERM). Anything else raises, which Python
      turns into exit status 1. After a keyboard interrupt the process ends at once,
      with status 130.

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
    except OSError as error:
        number = cause(error, (*FULL, errno.EROFS))
        if debug or not number:
            raise
        print(f"dirjax: {unsaved(error.filename or 'a file', number)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        if debug:
            raise
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("dirjax: interrupted", file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        # Threads that still write are not waited for: what is saved is whole.
        os._exit(128 + signal.SIGINT)
    return 0

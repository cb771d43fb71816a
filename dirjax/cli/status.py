"""Exit status of every command: an input error is one message and status 2."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence

import dirjax
from dirjax.cli.entry import INTERRUPTED
from dirjax.errors import FULL, Failed, InputError, Stopped, cause, unsaved

# 128 + SIGPIPE, as of other programs whose output nobody reads.
_UNREAD = 141


def _is_unread() -> bool:
    """Whether nobody reads the standard output any more, as after `| head`."""
    try:
        print(flush=True)
    except BrokenPipeError:
        # Python would report what is still in its buffer when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def run(
    main: Callable[[Sequence[str]], None], argv: Sequence[str], debug: bool = False
) -> int:
    """Calls `main(argv)` and turns exceptions into an exit status.

    Args:
      main: the command.
      argv: arguments, without the program's name.
      debug: let input errors raise, with traceback.

    Returns:
      0 for success, 1 if a run or the disk fails, 2 for wrong input, 128 + signal if
      the run stopped after a checkpoint (143 for SIGTERM), 141 if the reader of the
      output has gone. Other exceptions propagate, and Python exits with status 1. After
      a keyboard interrupt the process ends at once with status 130.

    Example:
      >>> run(lambda argv: None, [])
      0
    """
    if "--version" in argv:
        print(f"dirjax {dirjax.__version__}")
        return 0
    try:
        main(argv)
        sys.stdout.flush()
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
    except BrokenPipeError:
        if not _is_unread():
            raise
        return _UNREAD
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
        print(f"dirjax: {INTERRUPTED}", file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        # Do not wait for threads that still write: saved files are complete.
        os._exit(128 + signal.SIGINT)
    return 0

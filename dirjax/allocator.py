"""Memory allocator of the host, tuned for the large temporaries of XLA on CPU.

XLA's CPU client allocates the temporaries of a program with `malloc` at each call.
glibc serves blocks of this size with a fresh `mmap` and returns them at once, so each
step faults in every page again. `tune_allocator` makes glibc keep the memory.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys

# Parameters of mallopt(3), from <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_MAX = -4
_TOP_PAD_BYTES = 256 * 2**20


def tune_allocator() -> bool:
    """Makes glibc keep freed memory instead of returning it after each step.

    Call it once, before the first large allocation. The process then holds its peak
    memory until it ends. Off Linux, with another C library, or with the environment
    variable DIRJAX_MALLOPT=0 it does nothing.

    Returns:
      Whether the allocator was tuned.

    Example:
      >>> isinstance(tune_allocator(), bool)
      True
    """
    if os.environ.get("DIRJAX_MALLOPT", "1") == "0":
        return False
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = (
        (_M_MMAP_MAX, 0),  # large blocks from the heap too
        (_M_TRIM_THRESHOLD, 2**31 - 1),  # never give the end of the heap back
        (_M_TOP_PAD, _TOP_PAD_BYTES),  # grow it in large steps
    )
    accepted = [mallopt(name, value) == 1 for name, value in settings]
    return all(accepted)

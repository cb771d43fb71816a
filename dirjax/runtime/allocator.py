"""Memory allocator of the host, tuned for the large temporaries of XLA on CPU.

XLA's CPU client allocates the temporaries of a program with `malloc` at each call.
glibc takes large blocks from the kernel and returns them at once, so each step faults
in every page again: about 80,000 faults in a step of ResNet-18 on two cores with
glibc 2.36, none after, in most runs (benchmarks/README.md). `tune_allocator` makes
glibc keep the memory, in one heap: the heaps it gives to further threads end at 64 MB
and are returned whole, whatever the other settings say.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys

# Parameters of mallopt(3), from <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8


def tune_allocator() -> bool:
    """Makes glibc keep freed memory instead of returning it after each step.

    Call it once, before the first large allocation and before threads start. The
    process then holds its peak memory until it ends, and the peak grows by about 60%,
    since free blocks of the heap do not always fit. Off Linux, with another C library,
    or with the environment variable DIRJAX_MALLOPT=0 it does nothing.

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
        (_M_ARENA_MAX, 1),  # one heap for all threads
        (_M_MMAP_MAX, 0),  # large blocks from the heap too
        (_M_TRIM_THRESHOLD, 2**31 - 1),  # do not give the end of the heap back
    )
    accepted = [mallopt(name, value) == 1 for name, value in settings]
    return all(accepted)

"""Memory allocator of the host, tuned for the large temporaries of XLA on CPU.

XLA's CPU client allocates the temporaries of a program with `malloc` at each call.
glibc takes large blocks from the kernel and returns them when freed, so each step
faults in every page again: about 80,000 faults per step of ResNet-18 on two cores with
glibc 2.36; with tuning, none in most runs (benchmarks/README.md). `tune_allocator`
makes glibc keep the memory, in one heap: heaps for further threads are limited to 64 MB
and always returned as a whole, regardless of the other settings.
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
    process then keeps its peak memory until it ends, and fragmentation raises the peak
    by about 60%. It does nothing on other systems than Linux, with other C libraries,
    or with the environment variable DIRJAX_MALLOPT=0.

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
        (_M_TRIM_THRESHOLD, 2**31 - 1),  # do not return the top of the heap
    )
    accepted = [mallopt(name, value) == 1 for name, value in settings]
    return all(accepted)

"""Memory that was freed stays with the process: each update asks for the same blocks again.

The C library hands large blocks back to the kernel, which clears every page of them anew: on small models a tenth of an
update.
"""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # glibc's malloc.h


def keep() -> bool:
    """Let the C library keep freed memory, and say whether it does: another one than glibc is left as it is."""
    allocator = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return allocator is not None and bool(allocator(MMAP_MAX, 0) and allocator(TRIM_THRESHOLD, 2**31 - 1))

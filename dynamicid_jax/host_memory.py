"""Memory of this process, as the system sees it."""

import contextlib
import ctypes


def trim() -> None:
    """Gives memory that was freed back to the system, where the C library can be asked to (glibc).

    It keeps freed blocks for later otherwise: 0.3 GB of them after SD1.5's kernels were folded one by one.
    """
    with contextlib.suppress(OSError, TypeError, AttributeError):  # another system or C library
        ctypes.CDLL(None).malloc_trim(0)

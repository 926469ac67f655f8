"""The limit of open files of this process (RLIMIT_NOFILE); Windows has none."""

from __future__ import annotations

import contextlib
import sys
from typing import Final

__all__ = ["count_reserved", "raise_file_limit", "read_file_limit"]

# Beyond that no server needs more, and programs that walk through all of them take long.
_MOST_FILES: Final = 2**20
# What macOS takes at least where its hard limit is infinite (OPEN_MAX).
_SURE_FILES: Final = 10_240


def read_file_limit() -> int | None:
    """Return how many files this process may have open; None: no limit that is known."""
    if sys.platform == "win32":
        return None
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard one, up to 1,048,576; see setrlimit(2)."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    for limit in (most, min(most, _SURE_FILES)):
        if soft == resource.RLIM_INFINITY or soft >= limit:
            return
        with contextlib.suppress(ValueError, OSError):  # Less than the hard limit says.
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            return


def count_reserved(limit: int) -> int:
    """Return how many of the files are not for connections: half of up to 1,024, else a quarter."""
    return max(limit // 4, min(limit // 2, 512))

"""The limit of open files of this process (RLIMIT_NOFILE); not on Windows."""

from __future__ import annotations

import contextlib
import sys
from typing import Final

__all__ = ["count_reserved", "raise_file_limit", "read_file_limit"]

# Enough for every server; programs that close all possible descriptors take long beyond it.
_MAX_FILES: Final = 2**20
# What macOS always accepts when its hard limit is infinite (OPEN_MAX).
_MACOS_FILES: Final = 10_240


def read_file_limit() -> int | None:
    """Return the soft limit of open files; None: unknown or infinite."""
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
    wanted = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    for limit in (wanted, min(wanted, _MACOS_FILES)):
        if soft == resource.RLIM_INFINITY or soft >= limit:
            return
        with contextlib.suppress(ValueError, OSError):  # Above what the system allows.
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            return


def count_reserved(limit: int) -> int:
    """Return the files reserved from connections: half of up to 1,024, else a quarter."""
    return max(limit // 4, min(limit // 2, 512))

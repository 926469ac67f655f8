"""Which boot of the machine this is: between two of them, a power cut may have come."""

from __future__ import annotations

import secrets
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["boot_id"]

# https://man7.org/linux/man-pages/man4/random.4.html
_LINUX: Final = Path("/proc/sys/kernel/random/boot_id")


@cache
def boot_id() -> str:
    """Return what is the same for all processes since the machine was started, and new then.

    Where the system has no such thing it is new for each process: a power cut may have come
    between any two.
    """
    try:
        return _LINUX.read_text(encoding="ascii").strip()
    except OSError:
        return secrets.token_hex(8)

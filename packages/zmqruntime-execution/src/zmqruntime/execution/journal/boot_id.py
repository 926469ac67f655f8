"""Identifies a boot of the machine: a power cut is possible only between two boots."""

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
    """Return an id that all processes share until the machine is restarted.

    Systems other than Linux have no such id. Each process has a random one there, so a power cut
    is possible between any two.
    """
    try:
        return _LINUX.read_text(encoding="ascii").strip()
    except OSError:
        return secrets.token_hex(8)

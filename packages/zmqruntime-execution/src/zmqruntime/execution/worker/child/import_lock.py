"""Whether the main thread is inside an import, and when that import ends.

The lock of the outermost module is held for as long as its import takes, imports inside it
included (``importlib._bootstrap``, Python 3.11 to 3.14); waiting for that lock is waiting for the
import, without looking again and again.
"""

from __future__ import annotations

import importlib
import threading
from types import FrameType
from typing import Final

__all__ = ["find_import", "wait_for_import"]

_MACHINERY: Final = "<frozen importlib._bootstrap>"
# Acquires and releases the lock of a module, as the import statement does for one that another
# thread imports. Without it, the interrupt is sent again after growing delays.
_lock_unlock_module = getattr(
    getattr(importlib, "_bootstrap", None), "_lock_unlock_module", lambda module: None
)


def find_import(frame: FrameType | None) -> str | None:
    """Return the outermost module that is being imported at ``frame``; None: none is."""
    module = None
    while frame is not None:
        if frame.f_code.co_filename == _MACHINERY:
            name = frame.f_locals.get("name")
            module = name if isinstance(name, str) else module
        frame = frame.f_back
    return module


def wait_for_import(module: str, timeout: float) -> bool:
    """Block until another thread has imported ``module``, or failed to.

    Args:
        module: its full name.
        timeout: in seconds; the lock itself knows none.

    Returns:
        False: the import goes on after the timeout.
    """
    waiter = threading.Thread(target=_lock_unlock_module, args=(module,), daemon=True)
    waiter.start()
    waiter.join(min(max(timeout, 0.0), threading.TIMEOUT_MAX))
    return not waiter.is_alive()

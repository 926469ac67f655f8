"""Whether the main thread is inside an import, and when that import ends.

The module lock of the outermost module is held during its whole import, with nested ones
(``importlib._bootstrap``, Python 3.11 to 3.14): acquiring that lock waits for the import without
polling.
"""

from __future__ import annotations

import importlib
import threading
from types import FrameType
from typing import Final

__all__ = ["find_import", "wait_for_import"]

_MACHINERY: Final = "<frozen importlib._bootstrap>"
# Acquires and releases a module lock, as the import statement does when another thread imports the
# module. Without this function, the interrupt is sent again after growing delays.
_lock_unlock_module = getattr(
    getattr(importlib, "_bootstrap", None), "_lock_unlock_module", lambda module: None
)


def find_import(frame: FrameType | None) -> str | None:
    """Return the outermost module whose import contains ``frame``; None: there is no import."""
    module = None
    while frame is not None:
        if frame.f_code.co_filename == _MACHINERY:
            name = frame.f_locals.get("name")
            module = name if isinstance(name, str) else module
        frame = frame.f_back
    return module


def wait_for_import(module: str, timeout: float) -> bool:
    """Block until the import of ``module`` by another thread has succeeded or failed.

    Args:
        module: its full name.
        timeout: in seconds; a helper thread acquires the lock, which has no timeout.

    Returns:
        False at the timeout.
    """
    waiter = threading.Thread(target=_lock_unlock_module, args=(module,), daemon=True)
    waiter.start()
    waiter.join(min(max(timeout, 0.0), threading.TIMEOUT_MAX))
    return not waiter.is_alive()

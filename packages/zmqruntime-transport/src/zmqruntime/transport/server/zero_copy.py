"""Frames that are lent to libzmq without a copy, and a call when it gives them back."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import zmq
import zmq.utils.garbage

__all__ = ["lend"]


def lend(data: bytes, on_freed: Callable[[], None]) -> bytes:
    """Return a frame with ``data`` that is sent without a copy.

    ``on_freed`` is called once, in another thread, when libzmq needs the data no more: all of it
    is in the kernel, or those who should get it are gone, or it could not be sent.
    """
    # pyzmq keeps the object that it was given until then (zmq_msg_init_data(3)). Bytes can have no
    # weak reference; a view of them can.
    view = memoryview(data)
    weakref.finalize(view, on_freed).atexit = False
    frame: bytes = zmq.Frame(view, copy=False)  # type: ignore[assignment] # Sent like bytes.
    return frame

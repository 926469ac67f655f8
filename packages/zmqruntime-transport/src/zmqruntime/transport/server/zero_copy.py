"""Zero-copy frames: lent to libzmq, with a callback when it frees them."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import zmq
import zmq.utils.garbage

__all__ = ["lend"]


def lend(data: bytes, on_freed: Callable[[], None]) -> bytes:
    """Return a frame with ``data`` that is sent without a copy.

    ``on_freed`` is called once, in another thread, when libzmq has freed the data: all of it is in
    the kernel, or its receivers have disconnected, or it could not be sent.
    """
    # pyzmq keeps its argument until then (zmq_msg_init_data(3)). Bytes have no weak references; a
    # view of them has.
    view = memoryview(data)
    weakref.finalize(view, on_freed).atexit = False
    frame: bytes = zmq.Frame(view, copy=False)  # type: ignore[assignment] # Sent like bytes.
    return frame

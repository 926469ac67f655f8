"""Socket monitors: events of the connections of a socket.

https://libzmq.readthedocs.io/en/latest/zmq_socket_monitor.html
"""

from __future__ import annotations

import itertools
import struct

import zmq

__all__ = ["attach_monitor", "read_event", "read_event_value"]

# The number of the event, and its value.
_EVENT = struct.Struct("=hi")
_monitor_numbers = itertools.count(1)


def attach_monitor(sock: zmq.Socket[bytes], monitor: zmq.Socket[bytes], events: int) -> None:
    """Send ``events`` of ``sock`` to ``monitor``, a PAIR socket that the caller closes."""
    address = f"inproc://zmqruntime-monitor-{next(_monitor_numbers)}"
    sock.monitor(address, events)
    monitor.connect(address)


def read_event(monitor: zmq.Socket[bytes]) -> int | None:
    """Return the next event of a monitor; None: no event."""
    event = read_event_value(monitor)
    return None if event is None else event[0]


def read_event_value(monitor: zmq.Socket[bytes]) -> tuple[int, int] | None:
    """Return the next event of a monitor with its value; None: no event."""
    # As `zmq.utils.monitor`, which imports all of asyncio.
    try:
        number, value = _EVENT.unpack_from(monitor.recv_multipart(zmq.NOBLOCK)[0])
    except zmq.Again:
        return None
    return number, value

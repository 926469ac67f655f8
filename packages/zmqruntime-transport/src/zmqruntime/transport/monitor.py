"""Socket monitors: reports of what happens to the connections of a socket.

https://libzmq.readthedocs.io/en/latest/zmq_socket_monitor.html
"""

from __future__ import annotations

import itertools
import struct

import zmq

__all__ = ["read_event", "read_event_value", "watch"]

# The number of the event, and a value that belongs to it.
_EVENT = struct.Struct("=hi")
_monitor_numbers = itertools.count(1)


def watch(sock: zmq.Socket[bytes], monitor: zmq.Socket[bytes], events: int) -> None:
    """Let ``monitor``, a PAIR that is its opener's to close, hear of ``events`` of ``sock``."""
    address = f"inproc://zmqruntime-monitor-{next(_monitor_numbers)}"
    sock.monitor(address, events)
    monitor.connect(address)


def read_event(monitor: zmq.Socket[bytes]) -> int | None:
    """Return the next event that a monitor has heard of, if there is one."""
    event = read_event_value(monitor)
    return None if event is None else event[0]


def read_event_value(monitor: zmq.Socket[bytes]) -> tuple[int, int] | None:
    """Return the next event of a monitor with its value, if there is one."""
    # What `zmq.utils.monitor` does, which imports all of asyncio.
    try:
        number, value = _EVENT.unpack_from(monitor.recv_multipart(zmq.NOBLOCK)[0])
    except zmq.Again:
        return None
    return number, value

"""The control connections of one client, for any thread that has something to ask."""

from __future__ import annotations

import threading
import weakref
from typing import Final

import zmq

from zmqruntime.transport.client.channel import Channel, Pace
from zmqruntime.transport.config import ZMQConfig
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import NotConnected
from zmqruntime.transport.process.open_files import naming_file_limit, require_files

__all__ = ["ChannelPool"]

# A connection has four. Others that were opened just before have theirs a moment later, when
# libzmq's thread connects: it does not try again for long where it finds none.
_CONNECTION_FILES: Final = 32


class ChannelPool:
    """Lends connections, one to each who asks.

    Whoever has taken one is inside it until it is given back, but for the time between `leave` and
    `enter`. `close` closes all that no other thread is inside; the context's end wakes up those
    that are, and they close theirs.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: Endpoint, config: ZMQConfig
    ) -> None:
        self._context = context
        self._endpoint = endpoint
        self._config = config
        # An iterator that is thrown away gives its connection back, in the middle of anything.
        self._lock = threading.RLock()
        self._idle: list[Channel] = []
        self._channels: weakref.WeakSet[Channel] = weakref.WeakSet()
        self._closed = False

    def take(self) -> Channel:
        """Return a connection for this thread alone.

        Raises:
            NotConnected: the client was disconnected; `enter` and `replace` raise it, too.
            TooManyOpenFiles: no file is left for one more; so does `replace`.
        """
        with self._lock:
            channel = self._idle.pop() if self._idle else self._open(Pace.NEVER)
            channel.user = threading.get_ident()
            return channel

    def leave(self, channel: Channel) -> None:
        """Use it no more until `enter`; it may be closed meanwhile."""
        channel.user = None

    def enter(self, channel: Channel) -> None:
        """Use it again, in this thread."""
        with self._lock:
            if self._closed:
                raise self.not_connected()
            channel.user = threading.get_ident()

    def replace(self, channel: Channel, pace: Pace) -> Channel:
        """Return a fresh connection instead of one that is of no use any more."""
        with self._lock:
            channel.close()
            fresh = self._open(pace)
            fresh.user = channel.user
            return fresh

    def give_back(self, channel: Channel) -> None:
        """Keep a connection, on which nothing is under way, for the next one who asks."""
        with self._lock:
            channel.user = None
            if self._closed:
                channel.close()
            else:
                self._idle.append(channel)

    def drop(self, channel: Channel) -> None:
        """Close a connection."""
        with self._lock:
            channel.close()

    def close(self) -> None:
        """Close each connection that no other thread is inside."""
        with self._lock:
            self._closed = True
            # One that this thread seems to be inside was left by an interrupt.
            nobody = (None, threading.get_ident())
            for channel in list(self._channels):
                if channel.user in nobody:
                    channel.close()
            self._idle.clear()

    def not_connected(self) -> NotConnected:
        """Return what to raise when the context has ended."""
        return NotConnected(f"the client of {self._endpoint} is not connected")

    def _open(self, pace: Pace) -> Channel:
        if self._closed:
            raise self.not_connected()
        purpose = f"one more connection to the server on {self._endpoint}"
        require_files(_CONNECTION_FILES, purpose)
        with naming_file_limit(purpose):
            channel = Channel(self._context, self._endpoint, self._config, pace=pace)
        self._channels.add(channel)
        return channel

"""The control connections of one client: a pool that any thread may use."""

from __future__ import annotations

import threading
import weakref
from typing import Final

import zmq

from zmqruntime.transport.client.channel import Channel
from zmqruntime.transport.client.outcome import ReconnectInterval
from zmqruntime.transport.config import ZMQConfig
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import NotConnected
from zmqruntime.transport.process.open_files import naming_file_limit, require_files

__all__ = ["ChannelPool"]

# A connection has four. Connections that were opened just before get theirs a moment later, when
# libzmq's thread connects; it does not retry for long where the limit is reached.
_CONNECTION_FILES: Final = 32


class ChannelPool:
    """Lends each connection to one thread at a time.

    A thread uses a connection from `acquire` until `release` or `discard`, except between `suspend`
    and `resume`. `close` closes all connections that no other thread uses; the end of the
    context wakes the threads that use one, and they close theirs.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: Endpoint, config: ZMQConfig
    ) -> None:
        self._context = context
        self._endpoint = endpoint
        self._config = config
        # Reentrant: a collected generator releases its connection in the middle of any code.
        self._lock = threading.RLock()
        self._idle: list[Channel] = []
        self._channels: weakref.WeakSet[Channel] = weakref.WeakSet()
        self._closed = False

    def acquire(self) -> Channel:
        """Return a connection for the calling thread.

        Raises:
            NotConnected: the client was disconnected; also raised by `resume` and `replace`.
            TooManyOpenFiles: no file is left for a connection; also raised by `replace`.
        """
        with self._lock:
            channel = self._idle.pop() if self._idle else self._open(ReconnectInterval.NEVER)
            channel.thread = threading.get_ident()
            return channel

    def suspend(self, channel: Channel) -> None:
        """Stop using a connection until `resume`; it may be closed meanwhile."""
        channel.thread = None

    def resume(self, channel: Channel) -> None:
        """Use a suspended connection again, in the calling thread."""
        with self._lock:
            if self._closed:
                raise self.not_connected()
            channel.thread = threading.get_ident()

    def replace(self, channel: Channel, interval: ReconnectInterval) -> Channel:
        """Close a connection and return a fresh one."""
        with self._lock:
            channel.close()
            fresh = self._open(interval)
            fresh.thread = channel.thread
            return fresh

    def release(self, channel: Channel) -> None:
        """Return a connection without pending requests to the pool."""
        with self._lock:
            channel.thread = None
            if self._closed:
                channel.close()
            else:
                self._idle.append(channel)

    def discard(self, channel: Channel) -> None:
        """Close a connection."""
        with self._lock:
            channel.close()

    def close(self) -> None:
        """Close each connection that no other thread uses."""
        with self._lock:
            self._closed = True
            # One that belongs to this thread was left by an interrupt.
            closable = (None, threading.get_ident())
            for channel in list(self._channels):
                if channel.thread in closable:
                    channel.close()
            self._idle.clear()

    def not_connected(self) -> NotConnected:
        """Return the error of a closed client."""
        return NotConnected(f"the client of {self._endpoint} was disconnected")

    def _open(self, interval: ReconnectInterval) -> Channel:
        if self._closed:
            raise self.not_connected()
        purpose = f"one more connection to the server on {self._endpoint}"
        require_files(_CONNECTION_FILES, purpose)
        with naming_file_limit(purpose):
            channel = Channel(self._context, self._endpoint, self._config, interval=interval)
        self._channels.add(channel)
        return channel

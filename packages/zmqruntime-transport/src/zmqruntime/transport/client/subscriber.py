"""The data connection of a client: a SUB socket, read in its own thread."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import zmq

from zmqruntime.transport.config import ZMQConfig
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.loop import Loop, Timer
from zmqruntime.transport.monitor import attach_monitor, read_event
from zmqruntime.transport.multipart import drain
from zmqruntime.transport.socket_options import configure_tcp

__all__ = ["Subscriber"]

_log = logging.getLogger("zmqruntime.client")

# Messages in one callback.
_BATCH = 16
# The receive buffer, in multiples of the server's send buffer: it takes this process's own memory.
_ROOM = 5
# After so many messages, some may have been dropped. The length of the buffer does not show it:
# this thread may read as fast as the server sends. A wrong guess costs one request.
_MANY = 1000
_CATCH_UP_SECONDS = 0.5
# libzmq reports the end of a connection before it delivers the last messages of it
# (`stream_engine_base_t::error`); they arrive a moment later.
_FLUSH_SECONDS = 0.05


class Subscriber:
    """Receives published messages, and calls back in its own thread.

    Args:
        prefixes: the topics to subscribe to, in this order.
        on_messages: called with the topic and the frame of each message that has arrived.
        on_connection: called with True when the connection is established, with False when it
            ends.
        on_caught_up: called half a second after a burst of messages in which some may have been
            dropped; the burst is usually processed by then.

    A callback must not raise: that ends the thread.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: Endpoint,
        config: ZMQConfig,
        prefixes: Sequence[bytes],
        on_messages: Callable[[Sequence[tuple[bytes, bytes]]], None],
        on_connection: Callable[[bool], None],
        on_caught_up: Callable[[], None] | None = None,
    ) -> None:
        self._on_messages = on_messages
        self._on_connection = on_connection
        self._on_caught_up = on_caught_up
        # Without a high-water mark, no message is dropped.
        mark = config.data_high_water_mark or float("inf")
        self._many = min(mark / 10, _MANY)
        self._count = 0
        self._end_timer: Timer | None = None
        self._loop = Loop()
        # Its holder closes the sockets: the thread, or a constructor that is interrupted.
        self._closer = threading.Lock()
        self._thread = threading.Thread(
            target=self._run, name=f"zmqruntime-progress-{endpoint.port}", daemon=True
        )
        self._socket = context.socket(zmq.SUB)
        self._monitor: zmq.Socket[bytes] | None = None
        try:
            self._socket.rcvhwm = _ROOM * config.data_high_water_mark
            configure_tcp(self._socket, endpoint)
            self._monitor = monitor = context.socket(zmq.PAIR)
            attach_monitor(
                self._socket,
                monitor,
                zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED,
            )
            for prefix in prefixes:
                self._socket.subscribe(prefix)
            self._socket.connect(endpoint.data_address)
            self._loop.add_reader(self._socket, self._read)
            self._loop.add_reader(monitor, self._read_monitor)
            self._thread.start()
        except BaseException:
            if self._closer.acquire(blocking=False):
                self._close_sockets()
            else:  # Interrupted after the start of the thread.
                self._loop.post(self._loop.stop)
            raise

    @property
    def runs_here(self) -> bool:
        """Whether this is the subscriber's own thread: one of its callbacks."""
        return threading.current_thread() is self._thread

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back in the subscriber's thread after ``seconds``. For its own callbacks."""
        return self._loop.call_at(time.monotonic() + seconds, callback)

    def post(self, callback: Callable[[], None]) -> None:
        """Call back in the subscriber's thread. For any thread, and for signal handlers."""
        self._loop.post(callback)

    def stop(self) -> None:
        """Start to end, without waiting for the thread."""
        if self.runs_here:
            self._loop.stop()  # Before the messages that have arrived.
        else:
            self._loop.post(self._loop.stop)

    def close(self) -> None:
        """End the thread and close the socket. In a callback, both follow after it."""
        self.stop()
        if not self.runs_here:
            self._thread.join()

    def _run(self) -> None:
        if not self._closer.acquire(blocking=False):
            return
        try:
            with contextlib.suppress(zmq.ContextTerminated):
                self._loop.run()
        finally:
            self._close_sockets()

    def _close_sockets(self) -> None:
        self._loop.close()
        with contextlib.suppress(zmq.ContextTerminated):  # Then the monitor is closed, too.
            self._socket.disable_monitor()
        if self._monitor is not None:
            self._monitor.close(linger=0)
        self._socket.close(linger=0)

    def _read(self) -> None:
        self._deliver()

    def _deliver(self) -> int:
        """Deliver some of the messages that have arrived; return how many."""
        messages: list[tuple[bytes, bytes]] = []
        count = 0
        for frames in drain(self._socket, _BATCH):
            count += 1
            if len(frames) == 2:
                messages.append((frames[0], frames[1]))
            else:
                _log.warning("ignored a data message of %d frames: expected 2", len(frames))
        if messages:
            self._on_messages(messages)
        is_new = self._count <= self._many
        self._count += count
        if is_new and self._count > self._many and self._on_caught_up is not None:
            self.call_later(_CATCH_UP_SECONDS, partial(self._report_caught_up, self._on_caught_up))
        return count

    def _report_caught_up(self, on_caught_up: Callable[[], None]) -> None:
        self._count = 0
        on_caught_up()

    def _read_monitor(self) -> None:
        assert self._monitor is not None
        if (event := read_event(self._monitor)) is None:
            return
        if self._end_timer is not None:
            self._end_timer.cancel()
            self._report_end()
        if event == zmq.Event.HANDSHAKE_SUCCEEDED:
            self._on_connection(True)
        else:
            self._end_timer = self.call_later(_FLUSH_SECONDS, self._report_end)

    def _report_end(self) -> None:
        self._end_timer = None
        while self._deliver() and not self._loop.stopping:
            pass  # Messages of the ended connection are delivered before its end.
        self._on_connection(False)

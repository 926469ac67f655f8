"""The data side of a client: one SUB socket in a thread of its own."""

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

_BATCH = 16
# What waits here is this program's own memory, and is not dropped in vain.
_ROOM = 5
# After so many, some may have been dropped. How many waited at once does not tell: this socket's
# thread may read as fast as they come out of the server's. To be wrong costs a question.
_MANY = 1000
_MOMENT_SECONDS = 0.5
# libzmq reports the end of a connection before it hands over the last messages that came through
# it (`stream_engine_base_t::error`): they are at hand a moment later.
_FLUSH_SECONDS = 0.05


class Subscriber:
    """Receives what a server publishes and calls back from its own thread.

    Args:
        prefixes: the topics to subscribe to, in this order.
        on_messages: called with the topic and the frame of each message that is at hand.
        on_connection: called with False when the connection ends, with True when it is back.
        on_caught_up: called half a second after so many messages have come that others may
            have been dropped among them; by then they are worked off, as a rule.

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
        # Without a bound nothing is ever dropped.
        mark = config.data_high_water_mark or float("inf")
        self._many = min(mark / 10, _MANY)
        self._count = 0
        self._end_timer: Timer | None = None
        self._loop = Loop()
        # Whoever takes it closes the sockets: the thread, or a constructor that is interrupted.
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
            else:  # Interrupted after the thread had begun.
                self._loop.post(self._loop.stop)
            raise

    @property
    def runs_here(self) -> bool:
        """Whether this is the subscriber's own thread: one of its callbacks."""
        return threading.current_thread() is self._thread

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back in the subscriber's thread, ``seconds`` from now. For its own callbacks."""
        return self._loop.call_at(time.monotonic() + seconds, callback)

    def post(self, callback: Callable[[], None]) -> None:
        """Call back in the subscriber's thread, soon. For any thread, at any point."""
        self._loop.post(callback)

    def stop(self) -> None:
        """Begin to end, without waiting for the thread."""
        if self.runs_here:
            self._loop.stop()  # Not after the messages that are at hand.
        else:
            self._loop.post(self._loop.stop)

    def close(self) -> None:
        """End the thread and the socket. From a callback, the thread ends after it."""
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
        with contextlib.suppress(zmq.ContextTerminated):  # Then the monitor has ended, too.
            self._socket.disable_monitor()
        if self._monitor is not None:
            self._monitor.close(linger=0)
        self._socket.close(linger=0)

    def _read(self) -> None:
        self._take()

    def _take(self) -> int:
        """Take some of what is at hand, and return how many messages that were."""
        messages: list[tuple[bytes, bytes]] = []
        count = 0
        for frames in drain(self._socket, _BATCH):
            count += 1
            if len(frames) == 2:
                messages.append((frames[0], frames[1]))
            else:
                _log.warning("a data message of %d frames was ignored", len(frames))
        if messages:
            self._on_messages(messages)
        is_new = self._count <= self._many
        self._count += count
        if is_new and self._count > self._many and self._on_caught_up is not None:
            self.call_later(_MOMENT_SECONDS, partial(self._tell, self._on_caught_up))
        return count

    def _tell(self, on_caught_up: Callable[[], None]) -> None:
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
        while self._take() and not self._loop.stopping:
            pass  # What came before the end of a connection is delivered before it.
        self._on_connection(False)

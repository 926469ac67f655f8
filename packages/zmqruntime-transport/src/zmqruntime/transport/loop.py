"""Event loop of one thread: sockets, timers, and callbacks posted by other threads.

Only the loop's thread uses what the loop owns; other threads, and signal handlers, post a callback.
The loop blocks until there is work: it does not poll.

Fairness: a round reads each ready socket once, then runs the timers that are due, then the posts in
the inbox, each kind for up to `ROUND_SECONDS`. The rest, and new work, follows in the next round.
"""

from __future__ import annotations

import heapq
import itertools
import math
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import zmq

from zmqruntime.transport.socket_poller import READ, WRITE, SocketPoller

__all__ = ["ROUND_SECONDS", "Loop", "Timer"]

ROUND_SECONDS: Final = 0.005
"""The time in which one round begins callbacks of one kind, in seconds."""

_Callback = Callable[[], None]
_Reader = Callable[[], object]

# Idle callbacks run after so many rounds also if the loop is not idle.
_BUSY_ROUNDS = 8
# Cancelled timers stay in the heap until there are so many, then it is rebuilt.
_REBUILD_CANCELLED = 64


class Timer:
    """A callback that is due at a time of the monotonic clock, unless it is cancelled."""

    __slots__ = ("_on_cancel", "callback", "when")

    def __init__(self, when: float, callback: _Callback, on_cancel: _Callback) -> None:
        self.when = when
        self.callback: _Callback | None = callback
        self._on_cancel = on_cancel

    def cancel(self) -> None:
        """Cancel the callback; does nothing after it has run."""
        if self.callback is not None:
            self.callback = None
            self._on_cancel()


class Loop:
    """Runs callbacks in one thread for readable sockets, due timers and posts."""

    def __init__(self) -> None:
        self._poller = SocketPoller()
        self._readers: dict[object, _Reader] = {}
        self._writers: dict[object, _Callback] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._cancelled = 0
        self._order = itertools.count()
        self._idle_callbacks: list[_Callback] = []
        self._inbox: deque[_Callback] = deque()
        self._stopping = False
        # A socket pair, not a lock with a ZeroMQ socket: a signal handler may post at any point.
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._poller.register(self._wake_receiver.fileno())
        self._readers[self._wake_receiver.fileno()] = self._run_posts

    def add_reader(self, sock: zmq.Socket[bytes] | int, callback: _Reader) -> None:
        """Call back while ``sock`` may be readable.

        ``sock`` is a ZeroMQ socket, or the file descriptor of a plain one, which is readable at its
        end, too.
        """
        self._poller.register(sock)
        self._readers[sock] = callback

    def remove_reader(self, sock: zmq.Socket[bytes] | int) -> None:
        """Remove the callbacks of ``sock``."""
        self._poller.unregister(sock)
        del self._readers[sock]
        if isinstance(sock, int):
            self._writers.pop(sock, None)

    def send(self, sock: zmq.Socket[bytes], *frames: bytes, more: bool = False) -> None:
        """Send one message, or its beginning, on a socket with a reader, without blocking.

        Raises:
            zmq.Again: the socket is full; nothing of the message was sent.
        """
        self._poller.send(sock, *frames, more=more)

    def poll_again(self, sock: zmq.Socket[bytes]) -> None:
        """Call back in the next round if ``sock``, read outside its callback, is still readable."""
        self._poller.poll_again(sock)

    def add_writer(self, fd: int, callback: _Callback) -> None:
        """Call back while a plain socket with a reader is writable."""
        self._poller.modify(fd, READ | WRITE)
        self._writers[fd] = callback

    def remove_writer(self, fd: int) -> None:
        """Remove the writer of a plain socket."""
        self._poller.modify(fd, READ)
        del self._writers[fd]

    def call_at(self, when: float, callback: _Callback) -> Timer:
        """Call back at ``when`` on the monotonic clock, in seconds."""
        timer = Timer(when, callback, self._count_cancelled)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def call_when_idle(self, callback: _Callback) -> None:
        """Call back once, when no socket is readable, or after a few rounds."""
        self._idle_callbacks.append(callback)

    def post(self, callback: _Callback) -> None:
        """Call back in the loop's thread. For any thread, and for signal handlers."""
        self._inbox.append(callback)
        self._wake()

    def _wake(self) -> None:
        try:
            self._wake_sender.send(b"\0")
        except BlockingIOError:
            pass  # The buffer is full of wake-ups.
        except OSError:
            if not self._stopping:
                raise

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    def stop(self) -> None:
        """Make `run` return after the current callback. For the loop's own thread."""
        self._stopping = True

    def run(self) -> None:
        """Block, running callbacks, until `stop`."""
        rounds = 0
        while not self._stopping:
            ready = self._poller.poll(0.0 if self._idle_callbacks else self._seconds_to_timer())
            for sock, event in ready.items():
                if self._stopping:
                    return
                # A callback of the same round may have removed this one.
                if event & WRITE and (writer := self._writers.get(sock)) is not None:
                    writer()
                if event & READ and (reader := self._readers.get(sock)) is not None:
                    reader()
            self._run_due_timers()
            rounds = rounds + 1 if self._idle_callbacks else 0
            if not ready or rounds >= _BUSY_ROUNDS:
                self._run_idle_callbacks()

    def close(self) -> None:
        """Close the files of the loop. Later posts do nothing."""
        self._stopping = True
        self._poller.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    def _seconds_to_timer(self) -> float:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
            self._cancelled -= 1
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else math.inf

    def _run_due_timers(self) -> None:
        if not self._timers:
            return
        began = now = time.monotonic()
        first_new = next(self._order)
        while (
            self._timers
            and not self._stopping
            and self._timers[0][0] <= began
            and self._timers[0][1] < first_new
            and now - began < ROUND_SECONDS
        ):
            timer = heapq.heappop(self._timers)[2]
            callback, timer.callback = timer.callback, None
            if callback is None:
                self._cancelled -= 1
            else:
                callback()
                now = time.monotonic()

    def _run_idle_callbacks(self) -> None:
        callbacks, self._idle_callbacks = self._idle_callbacks, []
        for callback in callbacks:
            if not self._stopping:
                callback()

    def _count_cancelled(self) -> None:
        self._cancelled += 1
        if self._cancelled > max(_REBUILD_CANCELLED, len(self._timers) // 2):
            self._timers = [entry for entry in self._timers if entry[2].callback is not None]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def _run_posts(self) -> None:
        self._wake_receiver.recv(4096)
        until = time.monotonic() + ROUND_SECONDS
        for _ in range(len(self._inbox)):
            if self._stopping:
                return
            self._inbox.popleft()()
            if self._inbox and time.monotonic() >= until:
                self._wake()
                return

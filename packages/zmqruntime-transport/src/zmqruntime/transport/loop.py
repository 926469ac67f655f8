"""One thread's event loop: sockets, timers, and an inbox for everybody else.

Whatever a loop owns is touched by its thread alone; other threads, and signal handlers, post
a callback. The loop blocks until there is something to do: it never wakes up to look.

No kind of work keeps the others waiting: a round reads each socket that is ready once, and runs
the timers that were due, and the posts that were there, when it came to them, for as long as
`ROUND_SECONDS`. What is left over, or was added meanwhile, comes in the next round.
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
"""For how long one round begins callbacks of one kind, in seconds."""

_Callback = Callable[[], None]

# For so many rounds what waits for a quiet moment may be put off.
_MANY_ROUNDS = 8
# Cancelled timers stay in the heap until it is worth to rebuild it without them.
_MANY_CANCELLED = 64


class Timer:
    """A callback that is due at a moment of the monotonic clock, until it is cancelled."""

    __slots__ = ("_on_cancel", "callback", "when")

    def __init__(self, when: float, callback: _Callback, on_cancel: _Callback) -> None:
        self.when = when
        self.callback: _Callback | None = callback
        self._on_cancel = on_cancel

    def cancel(self) -> None:
        """Let the callback not run any more; nothing happens when it has run."""
        if self.callback is not None:
            self.callback = None
            self._on_cancel()


class Loop:
    """Run callbacks in one thread as sockets get readable, timers due, or posts arrive."""

    def __init__(self) -> None:
        self._poller = SocketPoller()
        self._readers: dict[object, _Callback] = {}
        self._writers: dict[object, _Callback] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._cancelled = 0
        self._order = itertools.count()
        self._when_quiet: list[_Callback] = []
        self._inbox: deque[_Callback] = deque()
        self._stopping = False
        # A socket pair, not a lock and a zmq socket: a signal handler may post, at any point.
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._poller.register(self._wake_receiver.fileno())
        self._readers[self._wake_receiver.fileno()] = self._take_posts

    def add_reader(self, sock: zmq.Socket[bytes] | int, callback: _Callback) -> None:
        """Call back whenever ``sock`` may have something to read; called again while it has.

        ``sock`` is a ZeroMQ socket, or the file descriptor of a plain one; its end counts, too.
        """
        self._poller.register(sock)
        self._readers[sock] = callback

    def remove_reader(self, sock: zmq.Socket[bytes] | int) -> None:
        """Stop watching ``sock``, also for room to write."""
        self._poller.unregister(sock)
        del self._readers[sock]
        if isinstance(sock, int):
            self._writers.pop(sock, None)

    def send(self, sock: zmq.Socket[bytes], *frames: bytes, more: bool = False) -> None:
        """Send one message, or its beginning, by a socket that is watched, without blocking.

        Raises:
            zmq.Again: the socket takes none now; nothing of the message was sent.
        """
        self._poller.send(sock, *frames, more=more)

    def look_again(self, sock: zmq.Socket[bytes]) -> None:
        """Call back in the next round if ``sock``, read at another time, has more to read."""
        self._poller.look_again(sock)

    def add_writer(self, fd: int, callback: _Callback) -> None:
        """Call back as long as there is room to write to a plain socket that is watched already."""
        self._poller.modify(fd, READ | WRITE)
        self._writers[fd] = callback

    def remove_writer(self, fd: int) -> None:
        """Watch a plain socket only for what there is to read."""
        self._poller.modify(fd, READ)
        del self._writers[fd]

    def call_at(self, when: float, callback: _Callback) -> Timer:
        """Call back at ``when`` on the monotonic clock, in seconds."""
        timer = Timer(when, callback, self._count_cancelled)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def when_quiet(self, callback: _Callback) -> None:
        """Call back once, when nothing more is to be read for now; soon, whatever arrives."""
        self._when_quiet.append(callback)

    def post(self, callback: _Callback) -> None:
        """Call back in the loop's thread, soon. For any thread, and for signal handlers."""
        self._inbox.append(callback)
        self._wake()

    def _wake(self) -> None:
        try:
            self._wake_sender.send(b"\0")
        except BlockingIOError:
            pass  # So many posts wait that the loop is sure to wake up.
        except OSError:
            if not self._stopping:
                raise

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    def stop(self) -> None:
        """Let `run` return after the callback at hand. For the loop's own thread."""
        self._stopping = True

    def run(self) -> None:
        """Block, running callbacks, until `stop`."""
        rounds = 0
        while not self._stopping:
            ready = self._poller.poll(0.0 if self._when_quiet else self._seconds_to_timer())
            for sock, event in ready.items():
                if self._stopping:
                    return
                # A callback of this very round may have taken another one's away.
                if event & WRITE and (writer := self._writers.get(sock)) is not None:
                    writer()
                if event & READ and (reader := self._readers.get(sock)) is not None:
                    reader()
            self._run_due_timers()
            rounds = rounds + 1 if self._when_quiet else 0
            if not ready or rounds >= _MANY_ROUNDS:
                self._be_quiet()

    def close(self) -> None:
        """Give back the inbox's file handles. Later posts do nothing."""
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

    def _be_quiet(self) -> None:
        callbacks, self._when_quiet = self._when_quiet, []
        for callback in callbacks:
            if not self._stopping:
                callback()

    def _count_cancelled(self) -> None:
        self._cancelled += 1
        if self._cancelled > max(_MANY_CANCELLED, len(self._timers) // 2):
            self._timers = [entry for entry in self._timers if entry[2].callback is not None]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def _take_posts(self) -> None:
        self._wake_receiver.recv(4096)
        until = time.monotonic() + ROUND_SECONDS
        for _ in range(len(self._inbox)):
            if self._stopping:
                return
            self._inbox.popleft()()
            if self._inbox and time.monotonic() >= until:
                self._wake()
                return

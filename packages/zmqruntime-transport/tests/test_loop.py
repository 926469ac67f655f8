"""The event loop: posts, timers, sockets, fairness, and its idle state."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

import pytest
import zmq
from transport_peers import PATIENCE_SECONDS

from zmqruntime.transport import Loop, loop
from zmqruntime.transport.loop import Timer
from zmqruntime.transport.socket_poller import SocketPoller


class LoopThread:
    """A loop in a thread; ``call`` waits for its callback."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def call(self, callback: Callable[[], Any]) -> Any:
        done = threading.Event()
        results: list[Any] = []

        def run() -> None:
            results.append(callback())
            done.set()

        self.loop.post(run)
        assert done.wait(PATIENCE_SECONDS)
        return results[0]

    def end(self) -> None:
        self.loop.post(self.loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.loop.run()
        except ArithmeticError as error:
            self.failure = error


@pytest.fixture
def running() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.end()
    thread.loop.close()


class CountingPoller(SocketPoller):
    polls = 0

    def poll(self, seconds: float) -> dict[Any, int]:
        CountingPoller.polls += 1
        return super().poll(seconds)


def test_posts_of_a_thread_run_in_the_loop_s_thread_in_order(
    running: LoopThread,
) -> None:
    ran: list[tuple[int, int]] = []
    threads_seen: set[threading.Thread] = set()
    start = threading.Barrier(8)

    def callback(source: int, number: int) -> None:
        threads_seen.add(threading.current_thread())
        ran.append((source, number))

    def post(source: int) -> None:
        start.wait(PATIENCE_SECONDS)
        for number in range(2000):
            running.loop.post(partial(callback, source, number))

    posters = [threading.Thread(target=post, args=(source,)) for source in range(8)]
    for poster in posters:
        poster.start()
    for poster in posters:
        poster.join()
    running.call(lambda: None)
    assert len(ran) == 16_000
    for source in range(8):
        assert [number for origin, number in ran if origin == source] == list(range(2000))
    assert len(threads_seen) == 1


def test_idle_callback_runs_when_all_messages_are_handled(running: LoopThread) -> None:
    ran: list[str] = []
    done = threading.Event()

    def arrive(name: str) -> None:
        ran.append(name)
        if name == "first":
            running.loop.call_when_idle(rest)
            running.loop.post(partial(arrive, "third"))

    def rest() -> None:
        ran.append("rest")
        running.loop.call_when_idle(done.set)

    def post_both() -> None:  # Sent in the loop's thread, so that one round reads them together.
        for name in ("first", "second"):
            running.loop.post(partial(arrive, name))

    running.call(post_both)
    assert done.wait(PATIENCE_SECONDS)
    assert ran == ["first", "second", "third", "rest"]


def test_idle_callback_runs_soon_also_in_a_busy_loop(running: LoopThread) -> None:
    done = threading.Event()
    arrivals = 0

    def arrive() -> None:
        nonlocal arrivals
        arrivals += 1
        if not done.is_set():
            running.loop.post(arrive)

    def begin() -> None:
        running.loop.call_when_idle(done.set)
        arrive()

    running.call(begin)
    assert done.wait(PATIENCE_SECONDS)
    assert 1 < running.call(lambda: arrivals) < 20


def test_posts_beyond_the_wake_up_buffer_all_run(running: LoopThread) -> None:
    free = threading.Event()
    ran: list[int] = []

    def block() -> None:
        assert free.wait(PATIENCE_SECONDS)

    running.loop.post(block)
    for number in range(100_000):
        running.loop.post(partial(ran.append, number))
    free.set()
    running.call(lambda: None)
    assert ran == list(range(100_000))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the platform has no such signal")
def test_signal_handler_may_post_while_its_thread_posts(running: LoopThread) -> None:
    handled: list[int] = []
    ran: list[int] = []

    def set_alarm() -> None:
        # A single alarm: on a slow machine a repeated one could interrupt its own handler forever.
        signal.setitimer(signal.ITIMER_REAL, 0.0001)

    def on_signal(signum: int, frame: FrameType | None) -> None:
        number = len(handled)
        handled.append(number)
        running.loop.post(lambda: ran.append(number))
        set_alarm()

    before = signal.signal(signal.SIGALRM, on_signal)
    try:
        set_alarm()
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while len(handled) < 500 and time.monotonic() < give_up_at:
            running.loop.post(lambda: None)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    running.call(lambda: None)
    assert len(handled) >= 500
    assert ran == handled


def test_post_of_a_callback_runs_after_it(running: LoopThread) -> None:
    ran: list[str] = []

    def outer() -> None:
        running.loop.post(lambda: ran.append("inner"))
        ran.append("outer")

    running.loop.post(outer)
    running.call(lambda: None)
    running.call(lambda: None)
    assert ran == ["outer", "inner"]


def test_timers_run_when_they_are_due_in_order(running: LoopThread) -> None:
    ran: list[tuple[str, float]] = []
    done = threading.Event()
    start = time.monotonic()

    def note(name: str) -> None:
        ran.append((name, time.monotonic()))

    def set_timers() -> None:
        for name, after in (("late", 0.06), ("early", 0.02), ("middle", 0.04)):
            running.loop.call_at(start + after, partial(note, name))
        running.loop.call_at(start + 0.08, done.set)

    running.call(set_timers)
    assert done.wait(PATIENCE_SECONDS)
    assert [name for name, _ in ran] == ["early", "middle", "late"]
    assert all(
        when >= start + after for (_, when), after in zip(ran, (0.02, 0.04, 0.06), strict=True)
    )


def test_timers_of_one_time_run_in_the_order_of_their_creation(
    running: LoopThread,
) -> None:
    ran: list[int] = []
    when = time.monotonic()

    def set_timers() -> None:
        for number in range(100):
            running.loop.call_at(when, partial(ran.append, number))

    running.call(set_timers)
    running.call(lambda: None)
    running.call(lambda: None)
    assert ran == list(range(100))


def test_timers_that_create_timers_do_not_starve_sockets(running: LoopThread) -> None:
    receiver, sender = socket.socketpair()
    read = threading.Event()

    def again() -> None:
        if not read.is_set():
            # A time in the past, like an expired deadline.
            running.loop.call_at(time.monotonic() - 1, again)

    def take() -> None:
        receiver.recv(1)
        read.set()

    with receiver, sender:
        running.call(lambda: running.loop.add_reader(receiver.fileno(), take))
        running.call(again)
        sender.send(b"x")
        assert read.wait(PATIENCE_SECONDS)
        running.call(lambda: running.loop.remove_reader(receiver.fileno()))


@pytest.mark.parametrize("kind", ["timers", "posts"])
def test_slow_callbacks_do_not_starve_sockets(
    running: LoopThread, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    receiver, sender = socket.socketpair()
    order: list[str] = []
    done = threading.Event()
    now = 0.0

    class Clock:
        """A clock on which each callback takes a second."""

        @staticmethod
        def monotonic() -> float:
            return now

    def work() -> None:
        nonlocal now
        now += 1.0
        order.append("work")
        if len(order) == 6:
            done.set()

    def take() -> None:
        receiver.recv(1)
        order.append("read")

    def begin() -> None:
        running.loop.add_reader(receiver.fileno(), take)
        sender.send(b"x")
        for _ in range(5):
            if kind == "timers":
                running.loop.call_at(0.0, work)
            else:
                running.loop.post(work)

    with receiver, sender:
        monkeypatch.setattr(loop, "time", Clock)
        running.loop.post(begin)
        assert done.wait(PATIENCE_SECONDS)
        monkeypatch.undo()
        running.call(lambda: running.loop.remove_reader(receiver.fileno()))
    assert order.index("read") <= 2


def test_cancelled_timer_does_not_run(running: LoopThread) -> None:
    ran: list[str] = []
    done = threading.Event()

    def set_timers() -> None:
        now = time.monotonic()
        cancelled = running.loop.call_at(now + 0.01, lambda: ran.append("cancelled"))
        running.loop.call_at(now + 0.02, lambda: ran.append("kept"))
        running.loop.call_at(now + 0.03, done.set)
        cancelled.cancel()
        cancelled.cancel()

    running.call(set_timers)
    assert done.wait(PATIENCE_SECONDS)
    assert ran == ["kept"]


def test_timer_may_cancel_another_one_that_is_due(running: LoopThread) -> None:
    ran: list[str] = []
    done = threading.Event()

    def set_timers() -> None:
        now = time.monotonic()
        second: list[Timer] = []

        def first() -> None:
            ran.append("first")
            second[0].cancel()

        running.loop.call_at(now, first)
        second.append(running.loop.call_at(now, lambda: ran.append("second")))
        running.loop.call_at(now, done.set)

    running.call(set_timers)
    assert done.wait(PATIENCE_SECONDS)
    assert ran == ["first"]


def test_cancel_of_a_timer_that_has_run_does_nothing(running: LoopThread) -> None:
    done = threading.Event()
    timer = running.call(lambda: running.loop.call_at(time.monotonic(), done.set))
    assert done.wait(PATIENCE_SECONDS)
    for _ in range(200):
        running.call(timer.cancel)


def test_cancelled_timers_do_not_accumulate(running: LoopThread) -> None:
    def hold_and_answer() -> int:
        later = time.monotonic() + 60
        for _ in range(10_000):
            running.loop.call_at(later, lambda: None).cancel()
        return len(running.loop._timers)

    kept: list[str] = []
    soon = threading.Event()
    running.call(lambda: running.loop.call_at(time.monotonic() + 0.05, soon.set))
    running.call(lambda: running.loop.call_at(time.monotonic() + 60, lambda: kept.append("kept")))
    assert running.call(hold_and_answer) < 200
    assert soon.wait(PATIENCE_SECONDS)
    assert not kept


@pytest.mark.parametrize("when", [1e18, float("inf")])
def test_timer_may_be_in_the_far_future(running: LoopThread, when: float) -> None:
    running.call(lambda: running.loop.call_at(when, lambda: None))
    assert running.call(lambda: "still there") == "still there"
    assert running.failure is None


def test_idle_loop_does_not_wake_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SocketPoller", CountingPoller)
    running = LoopThread()
    alarm = threading.Event()
    try:
        running.call(lambda: running.loop.call_at(time.monotonic() + 3600, lambda: None))
        CountingPoller.polls = 0
        running.call(lambda: running.loop.call_at(time.monotonic() + 0.5, alarm.set))
        assert alarm.wait(PATIENCE_SECONDS)
        # A few for the call, and one until the alarm; a busy loop has thousands.
        assert 1 <= CountingPoller.polls <= 10
    finally:
        running.end()
        running.loop.close()


def test_socket_is_read_while_it_is_readable(
    running: LoopThread, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    receiver, sender = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    receiver.bind("inproc://loop")
    sender.connect("inproc://loop")
    received: list[bytes] = []
    complete = threading.Event()

    def read() -> None:
        received.append(receiver.recv(zmq.NOBLOCK))  # One each: the rest is reported again.
        if len(received) == 1000:
            complete.set()

    running.call(lambda: running.loop.add_reader(receiver, read))
    for number in range(1000):
        sender.send(b"%d" % number)
    assert complete.wait(PATIENCE_SECONDS)
    assert received == [b"%d" % number for number in range(1000)]
    running.call(lambda: running.loop.remove_reader(receiver))
    sender.send(b"unheard")
    running.call(lambda: None)
    assert len(received) == 1000


def test_callback_may_remove_the_next_reader(
    context: zmq.Context[zmq.Socket[bytes]],
) -> None:
    loop = Loop()
    pairs = []
    for name in ("a", "b"):
        receiver, sender = context.socket(zmq.PULL), context.socket(zmq.PUSH)
        receiver.bind(f"inproc://{name}")
        sender.connect(f"inproc://{name}")
        sender.send(b"x")
        pairs.append(receiver)
    read: list[int] = []

    def read_and_remove(which: int) -> None:
        read.append(which)
        pairs[which].recv(zmq.NOBLOCK)
        loop.remove_reader(pairs[1 - which])
        loop.post(loop.stop)

    loop.add_reader(pairs[0], lambda: read_and_remove(0))
    loop.add_reader(pairs[1], lambda: read_and_remove(1))
    stop_at_all = threading.Timer(PATIENCE_SECONDS, lambda: loop.post(loop.stop))
    stop_at_all.start()
    loop.run()
    stop_at_all.cancel()
    loop.close()
    assert len(read) == 1


def test_no_callback_runs_after_stop() -> None:
    loop = Loop()
    ran: list[str] = []
    loop.post(lambda: ran.append("before"))
    loop.post(loop.stop)
    loop.post(lambda: ran.append("after"))
    loop.call_at(time.monotonic(), lambda: ran.append("timer"))
    loop.run()
    assert ran == ["before"]
    assert loop.stopping
    loop.close()


def test_post_to_a_closed_loop_does_nothing() -> None:
    loop = Loop()
    loop.close()
    for _ in range(3):
        loop.post(lambda: pytest.fail("it ran"))


def test_closed_loop_has_no_open_files() -> None:
    loop = Loop()
    pair = [s for s in vars(loop).values() if isinstance(s, socket.socket)]
    assert len(pair) == 2
    loop.close()
    loop.close()
    assert all(s.fileno() == -1 for s in pair)


def test_writer_and_reader_of_a_plain_socket_are_called(
    running: LoopThread,
) -> None:
    near, far = socket.socketpair()
    far.settimeout(PATIENCE_SECONDS)
    near.setblocking(False)
    ended = threading.Event()
    left = [64 * 2**20]

    def write() -> None:
        left[0] -= near.send(b"." * min(left[0], 2**20))
        if not left[0]:
            running.loop.remove_writer(near.fileno())

    def read() -> None:
        if near.recv(1) == b"":
            running.loop.remove_reader(near.fileno())
            ended.set()

    def begin() -> None:
        running.loop.add_reader(near.fileno(), read)
        running.loop.add_writer(near.fileno(), write)

    running.call(begin)
    received = 0
    while received < 64 * 2**20:
        received += len(far.recv(2**20))
    running.call(lambda: None)
    assert left == [0]
    far.close()
    assert ended.wait(PATIENCE_SECONDS)
    near.close()

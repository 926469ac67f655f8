"""The fake without a socket: a client's requests are calls, and events are called back."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from typing import Self

from zmqruntime.execution import InMemoryLifecycleEngine
from zmqruntime.execution.lowlevel import Dispatcher, Scheduler
from zmqruntime.messages import (
    ErrorReply,
    OkReply,
    Outgoing,
    PingRequest,
    PongReply,
    ProcessInfo,
    RegisterProgressRequest,
    Reply,
    Request,
    ShutdownAckReply,
    ShutdownRequest,
    UnregisterProgressRequest,
    decode_reply,
    decode_request,
    encode_with_id,
)
from zmqruntime.testing._version import __version__
from zmqruntime.testing.clock import MovableClock
from zmqruntime.testing.fake.in_memory_transport import (
    InMemoryOutbox,
    InMemorySubscription,
)
from zmqruntime.testing.fake.script import ServerDies
from zmqruntime.testing.fake.scripted_server import ScriptedServer
from zmqruntime.testing.fake.scripted_worker import ScriptedWorkerRunner
from zmqruntime.transport import (
    Caller,
    Deadline,
    MessageTooLarge,
    ProcessIdentity,
    RequestTimeout,
    ServerLost,
    ZMQConfig,
)

__all__ = ["InMemoryExecutionServer"]

_MAX_LISTED = 100  # As the server does: see C-078 of the protocol.


class InMemoryExecutionServer(ScriptedServer):
    """A fake that its clients call: no socket, no thread, no process, and hardly any time.

    `connect_in_memory` makes a client of it, as the fixture ``execution_client`` does. A script
    goes on as far as it can while the client submits it, so that an execution without a pause
    has ended when `submit_execution` returns. A progress callback is called in whichever thread
    makes things happen. At the end of a ``with`` statement `check` is called.

    Args:
        config: settings that its clients have to share.
        cancel_grace_seconds: how long, by ``clock``, a deaf script goes on after a cancel.
    """

    def __init__(
        self, config: ZMQConfig | None = None, *, cancel_grace_seconds: float = 5.0
    ) -> None:
        self.config = config or ZMQConfig()
        super().__init__(self.config.max_message_bytes)
        self.clock = MovableClock(frozen=False)
        """Move it by `advance`."""
        self._process = ProcessIdentity.current()
        self._started_at = self.clock.time()
        self._numbers = itertools.count(1)
        self._ended = False
        self._clients: list[str] = []
        self._subscriptions: tuple[InMemorySubscription, ...] = ()
        self._delivering = threading.Lock()
        self._outbox = InMemoryOutbox(self._end)
        self._dispatcher = Dispatcher(
            Scheduler(InMemoryLifecycleEngine(), cancel_grace_seconds=cancel_grace_seconds),
            ScriptedWorkerRunner(self._tell, self._script_of),
            self._outbox,
            wall=self.clock.time,
            monotonic=self.clock.monotonic,
        )
        self._dispatcher.start()
        self._settle()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        if error[0] is None:
            self.check()

    @property
    def running(self) -> bool:
        """Whether it answers."""
        return not self._ended

    def advance(self, seconds: float) -> None:
        """Let time pass, so that limits and grace periods end."""
        self._check_open()
        self.clock.advance(seconds)
        self._settle()

    def stop(self, timeout: float = 10.0) -> None:
        """End, as a server that is gone. It takes no time."""
        self._end(None)
        self._settle()

    def exchange(self, requests: Sequence[Outgoing], timeout: float, hold: float) -> list[Reply]:
        """Return the replies to requests, as `ZMQClient.exchange` does."""
        with self._changed:
            callers = [self._take(request, timeout + hold) for request in requests]
        deadline = Deadline.after(timeout + hold)
        while True:
            self._settle()
            with self._changed:
                replies = self._outbox.replies
                if all(caller in replies for caller in callers):
                    return [decode_reply(replies.pop(caller)) for caller in callers]
                self._check_alive()
                if deadline.expired:
                    raise RequestTimeout("the fake has not answered in time")
                self._changed.wait(self._until_next(deadline))

    def subscribe(self, subscription: InMemorySubscription) -> None:
        """Have a client's subscription called back with each event from now on."""
        with self._changed:
            self._check_alive()
            self._subscriptions += (subscription,)

    # -- under the lock -------------------------------------------------------------------------

    def _take(self, request: Outgoing, patience: float) -> Caller:
        """Take a request, as often as a client would ask; return who waits for the reply."""
        self._check_alive()
        number = next(self._numbers)
        caller = Caller((), request.request_id or f"#{number}", number)
        frame = encode_with_id(request, caller.request_id)
        if len(frame) > self.config.max_message_bytes:
            raise MessageTooLarge(
                f"the {request.type} request is {len(frame):,} bytes long and the server takes "
                f"{self.config.max_message_bytes:,}"
            )
        while (verdict := self._admit(decode_request(frame))) is None:
            patience -= self.config.retry_interval
            if patience <= 0:
                raise RequestTimeout(f"a {request.type} request was not answered in time")
        if isinstance(verdict, ErrorReply):
            self._reply(caller, verdict)
        elif not self._dispatcher.handle_request(verdict, caller):
            self._answer(verdict, caller)
        return caller

    def _answer(self, request: Request, caller: Caller) -> None:
        match request:
            case PingRequest():
                self._reply(caller, self._pong(request.limit))
            case RegisterProgressRequest() | UnregisterProgressRequest():
                if isinstance(request, RegisterProgressRequest):
                    self._clients.append(request.client_id)
                elif request.client_id in self._clients:
                    self._clients.remove(request.client_id)
                names = tuple(dict.fromkeys(self._clients))
                reply = OkReply(
                    client_id=request.client_id,
                    progress_subscribers=names[:_MAX_LISTED],
                    progress_subscriber_count=len(names),
                )
                self._reply(caller, reply)
            case ShutdownRequest():
                self._reply(caller, ShutdownAckReply(mode=request.mode))
                self._dispatcher.shut_down(request.mode)

    def _pong(self, limit: int) -> PongReply:
        names = tuple(dict.fromkeys(self._clients))
        return PongReply(
            ready=self._dispatcher.ready,
            server=type(self).__name__,
            version=__version__,
            port=self.config.default_port,
            control_port=self.config.default_port + self.config.control_port_offset,
            process=ProcessInfo(pid=self._process.pid, create_time=self._process.create_time),
            started_at=self._started_at,
            uptime_seconds=self.clock.time() - self._started_at,
            progress_subscribers=names[:_MAX_LISTED],
            progress_subscriber_count=len(names),
            max_message_bytes=self.config.max_message_bytes,
            **self._dispatcher.describe_work(limit)._asdict(),
        )

    def _reply(self, caller: Caller, message: Reply) -> None:
        self._outbox.send_reply(caller, encode_with_id(message, caller.request_id))

    def _until_next(self, deadline: Deadline) -> float | None:
        alarm = self._dispatcher.next_deadline
        due = float("inf") if alarm is None else max(0.0, alarm - self.clock.monotonic())
        seconds = min(due, deadline.remaining)
        return None if seconds == float("inf") else seconds

    def _check_alive(self) -> None:
        if self._ended:
            raise ServerLost("the fake server has ended: by its script, a shutdown, or its test")

    # -- what makes things happen -----------------------------------------------------------------

    def _go_on(self) -> None:
        self._settle()

    def _end(self, _: str | None) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _settle(self) -> None:
        """Play all that can be played now, and have the clients told."""
        with self._changed:
            alarm = self._dispatcher.next_deadline
            if alarm is not None and alarm <= self.clock.monotonic():
                self._dispatcher.wake()
            while not self._ended and (told := self._advance()) is not None:
                if isinstance(told, ServerDies):
                    self._end(None)
                else:
                    self._dispatcher.handle(told)
            self._changed.notify_all()
        self._deliver()

    def _deliver(self) -> None:
        """Call the subscribers, not under the lock: a callback may ask the server something."""
        while self._outbox.events and self._delivering.acquire(blocking=False):
            try:
                while self._outbox.events:
                    topic, frame = self._outbox.events.popleft()
                    for subscription in self._subscriptions:
                        subscription.deliver(topic, frame)
            finally:
                self._delivering.release()
        if self._ended:
            with self._changed:
                subscriptions, self._subscriptions = self._subscriptions, ()
            for subscription in subscriptions:
                subscription.lose()

"""`InMemoryExecutionServer`: a fake without sockets; requests and events are function calls."""

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
)
from zmqruntime.messages.lowlevel import Outgoing, encode_with_id
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
    MessageTooLarge,
    ProcessIdentity,
    RequestTimeout,
    ServerLost,
    ZMQConfig,
)
from zmqruntime.transport.lowlevel import Deadline

__all__ = ["InMemoryExecutionServer"]

_MAX_LISTED = 100  # Protocol, C-078.


class InMemoryExecutionServer(ScriptedServer):
    """A fake that its clients call directly: no socket, no thread, no process.

    `connect_in_memory` and the fixture ``execution_client`` make its clients. A script runs up to
    its first pause during `submit_execution`, so an execution without a pause has ended when that
    returns. Progress callbacks run in the thread that causes the event. `check` is called at the
    end of a ``with`` statement.

    Args:
        config: the configuration that it shares with its clients.
        cancel_grace_seconds: grace period, by ``clock``, before a deaf script is killed.
    """

    def __init__(
        self, config: ZMQConfig | None = None, *, cancel_grace_seconds: float = 5.0
    ) -> None:
        self.config = config or ZMQConfig()
        super().__init__(self.config.max_message_bytes)
        self.clock = MovableClock(frozen=False)
        """The clock; `advance` moves it."""
        self._process = ProcessIdentity.current()
        self._started_at = self.clock.time()
        self._numbers = itertools.count(1)
        self._stopped = False
        self._clients: list[str] = []
        self._subscriptions: tuple[InMemorySubscription, ...] = ()
        self._delivering = threading.Lock()
        self._outbox = InMemoryOutbox(self._mark_stopped)
        self._dispatcher = Dispatcher(
            Scheduler(InMemoryLifecycleEngine(), cancel_grace_seconds=cancel_grace_seconds),
            ScriptedWorkerRunner(self._command_worker, self._script_of),
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
        """Whether it replies to requests."""
        return not self._stopped

    def advance(self, seconds: float) -> None:
        """Advance the clock, so that timeouts and grace periods expire."""
        self._check_open()
        self.clock.advance(seconds)
        self._settle()

    def stop(self, timeout: float = 10.0) -> None:
        """Stop immediately, without replies or events, as a lost server."""
        self._mark_stopped(None)
        self._settle()

    def exchange(self, requests: Sequence[Outgoing], timeout: float, hold: float) -> list[Reply]:
        """Return the replies to requests, as `ZMQClient.exchange` does."""
        with self._changed:
            callers = [self._handle(request, timeout + hold) for request in requests]
        deadline = Deadline.after(timeout + hold)
        while True:
            self._settle()
            with self._changed:
                replies = self._outbox.replies
                if all(caller in replies for caller in callers):
                    return [decode_reply(replies.pop(caller)) for caller in callers]
                self._check_alive()
                if deadline.expired:
                    raise RequestTimeout(
                        f"no reply from the fake within {timeout + hold:g} s: check the time "
                        "limit, or continue the script with step()"
                    )
                self._changed.wait(self._until_next(deadline))

    def subscribe(self, subscription: InMemorySubscription) -> None:
        """Deliver each event from now on to a client's subscription."""
        with self._changed:
            self._check_alive()
            self._subscriptions += (subscription,)

    # -- under the lock -------------------------------------------------------------------------

    def _handle(self, request: Outgoing, remaining: float) -> Caller:
        """Handle a request, with a client's retries; return the caller that its reply is for."""
        self._check_alive()
        number = next(self._numbers)
        caller = Caller((), request.request_id or f"#{number}", number)
        frame = encode_with_id(request, caller.request_id)
        if len(frame) > self.config.max_message_bytes:
            raise MessageTooLarge(
                f"the {request.type} request is too large: {len(frame):,} bytes, the limit of the "
                f"server is {self.config.max_message_bytes:,} bytes"
            )
        while (admitted := self._admit(decode_request(frame))) is None:
            remaining -= self.config.retry_interval
            if remaining <= 0:
                raise RequestTimeout(f"no reply to a {request.type} request: the fake ignores it")
        if isinstance(admitted, ErrorReply):
            self._reply(caller, admitted)
        elif not self._dispatcher.handle_request(admitted, caller):
            self._handle_transport_request(admitted, caller)
        return caller

    def _handle_transport_request(self, request: Request, caller: Caller) -> None:
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
        due_at = self._dispatcher.next_deadline
        due = float("inf") if due_at is None else max(0.0, due_at - self.clock.monotonic())
        seconds = min(due, deadline.remaining)
        return None if seconds == float("inf") else seconds

    def _check_alive(self) -> None:
        if self._stopped:
            raise ServerLost("the fake server has stopped: by server_dies(), a shutdown or stop()")

    # -- progress of scripts ---------------------------------------------------------------------

    def _resume(self) -> None:
        self._settle()

    def _mark_stopped(self, _: str | None) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _settle(self) -> None:
        """Run scripts as far as possible, and deliver the events."""
        with self._changed:
            due_at = self._dispatcher.next_deadline
            if due_at is not None and due_at <= self.clock.monotonic():
                self._dispatcher.wake()
            while not self._stopped and (event := self._advance()) is not None:
                if isinstance(event, ServerDies):
                    self._mark_stopped(None)
                else:
                    self._dispatcher.handle(event)
            self._changed.notify_all()
        self._deliver()

    def _deliver(self) -> None:
        """Call the subscribers without holding the lock: a callback may send requests."""
        while self._outbox.events and self._delivering.acquire(blocking=False):
            try:
                while self._outbox.events:
                    topic, frame = self._outbox.events.popleft()
                    for subscription in self._subscriptions:
                        subscription.deliver(topic, frame)
            finally:
                self._delivering.release()
        if self._stopped:
            with self._changed:
                subscriptions, self._subscriptions = self._subscriptions, ()
            for subscription in subscriptions:
                subscription.disconnect()

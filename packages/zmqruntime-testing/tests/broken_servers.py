"""The real server with one injected fault each, to test the conformance checks.

Each fault names the requirement of the protocol that it violates.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from instant_server import InstantServer

from zmqruntime.execution import InMemoryLifecycleEngine, LifecycleEngine
from zmqruntime.execution.core.events import Submitted
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.server.session import ExecutionSession
from zmqruntime.messages import (
    CancelRequest,
    ExecuteRequest,
    Request,
    ShutdownMode,
    StatusRequest,
)
from zmqruntime.transport import Caller, ServerSession

__all__ = ["FAULTS", "BrokenServer", "Fault"]

Object = dict[str, Any]


class Tap:
    """Hooks into a session, and applies the fault to its messages."""

    def __init__(self, session: ExecutionSession, fault: Fault) -> None:
        self.session = session
        self.memory: Object = {}
        """State of the fault."""
        self.callers: list[Caller] = []
        self._fault = fault
        self._take = session._take_request
        self._handle = session.handle_request
        self._send = session.send_reply
        self._publish = session.publish
        for name, method in {
            "_take_request": self.take,
            "handle_request": self.handle,
            "send_reply": self.send,
            "publish": self.publish,
        }.items():
            setattr(session, name, method)
        fault.session(session)

    def take(self, frames: list[bytes]) -> None:
        if self._fault.wire is not None:
            frames = self._changed(frames, self._fault.wire)
        self._take(frames)

    def _changed(self, frames: list[bytes], wire: Callable[[Object], Object]) -> list[bytes]:
        """Return a request after the hook; anything else, or without a change, the same frames."""
        try:
            request = json.loads(frames[-1].decode("utf-8"))
        except (ValueError, RecursionError):
            return frames
        if not isinstance(request, dict) or frames[-2:-1] != [b""]:
            return frames
        changed = wire(request)
        return frames if changed == request else [*frames[:-1], json.dumps(changed).encode()]

    def handle(self, request: Request, caller: Caller, frame: bytes = b"") -> None:
        self.callers.append(caller)
        self._fault.request(request, caller, self)

    def handle_normally(self, request: Request, caller: Caller) -> None:
        """Handle the request without a fault."""
        self._handle(request, caller)

    def send(self, caller: Caller, frame: bytes) -> None:
        caller = self._fault.envelope(caller)
        if self._fault.reply is None:
            self._send(caller, frame)
            return
        for reply in self._fault.reply(json.loads(frame), self):
            self._send(caller, reply if isinstance(reply, bytes) else json.dumps(reply).encode())

    def publish(self, topic: bytes, *events: bytes) -> None:
        if self._fault.event is None:
            self._publish(topic, *events)
            return
        for frame in events:
            for published_topic, event in self._fault.event(
                topic.decode(), json.loads(frame), self
            ):
                self._publish(published_topic.encode(), json.dumps(event).encode())


@dataclass(frozen=True)
class Fault:
    """One fault of a server; a hook that is not set changes nothing."""

    name: str
    number: str
    """The violated requirement; empty for no fault."""
    wire: Callable[[Object], Object] | None = None
    request: Callable[[Request, Caller, Tap], None] = lambda request, caller, tap: (
        tap.handle_normally(request, caller)
    )
    envelope: Callable[[Caller], Caller] = lambda caller: caller
    reply: Callable[[Object, Tap], Iterable[Object | bytes]] | None = None
    event: Callable[[str, Object, Tap], Published] | None = None
    session: Callable[[ExecutionSession], None] = lambda session: None
    engine: Callable[[], LifecycleEngine] = InMemoryLifecycleEngine
    ending: ShutdownMode | None = None

    def __str__(self) -> str:
        return self.name


class BrokenServer(InstantServer):
    """The real server with one fault."""

    def __init__(self, *arguments: Any, fault: Fault, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._fault = fault

    def make_engine(self) -> LifecycleEngine:
        return self._fault.engine()

    def make_session(self) -> ServerSession:
        session = super().make_session()
        assert isinstance(session, ExecutionSession)
        Tap(session, self._fault)
        return session


# -- replies ----------------------------------------------------------------------------------


def without(name: str, of: str | None = None) -> Callable[[Object, Tap], Iterable[Object]]:
    """Remove a field from replies of one type, or of all types."""
    return lambda reply, _: [
        {
            key: value
            for key, value in reply.items()
            if key != name or of not in (None, reply["type"])
        }
    ]


def changed(
    change: Callable[[Object], Object], **where: Any
) -> Callable[[Object, Tap], Iterable[Object]]:
    """Change replies that have these fields."""
    return lambda reply, _: [
        reply | change(reply) if where.items() <= _flat(reply).items() else reply
    ]


def recorded(
    change: Callable[[Object], Object], **where: Any
) -> Callable[[Object, Tap], Iterable[Object]]:
    """Change the records in snapshots that have these fields."""

    def reply(reply: Object, _: Tap) -> Iterable[Object]:
        record = reply.get("execution")
        if record and where.items() <= _flat(record).items():
            record.update(change(record))
        return [reply]

    return reply


def _flat(message: Object) -> Object:
    return {k: v for k, v in message.items() if isinstance(v, str | int | None)}


def alternate_terminal_status(reply: Object, tap: Tap) -> Iterable[Object]:
    """Report every second snapshot of a complete execution as failed."""
    record = reply.get("execution")
    if record and record["status"] == "complete":
        looks = tap.memory[record["execution_id"]] = tap.memory.get(record["execution_id"], 0) + 1
        if looks % 2 == 0:
            record["status"] = "failed"
    return [reply]


def integers_only(reply: Object, _: Tap) -> Iterable[Object]:
    """Convert integral floats in results to integers."""
    record = reply.get("execution")
    if record and isinstance(record["result"], float):
        record["result"] = int(record["result"])
    return [reply]


# -- requests -----------------------------------------------------------------------------------

KNOWN = {
    "type", "protocol", "request_id", "limit", "wait_seconds", "task", "config", "client_id",
    "execution_id", "labels", "timeout_seconds", "cursor", "scope", "mode", "priority",
    "max_attempts", "retry_on", "backoff_seconds", "after_sequence", "max_bytes",
}  # fmt: skip


def enqueue_again(request: Request, caller: Caller, tap: Tap) -> None:
    """Execute a duplicate again, but reply as to a duplicate."""
    tap.handle_normally(request, caller)
    if isinstance(request, ExecuteRequest) and request.execution_id:
        if request.execution_id in tap.memory:
            again = request.model_copy(update={"execution_id": None})
            tap.session._dispatcher.handle(
                Submitted(again, caller._replace(envelope=(b"unknown", b"")))
            )
        tap.memory[request.execution_id] = True


def cancel_running(request: Request, caller: Caller, tap: Tap) -> None:
    """Cancel the running execution instead of the requested one."""
    if isinstance(request, CancelRequest):
        running = tap.session._dispatcher._scheduler.slots[0].execution_id
        request = request.model_copy(update={"execution_id": running or request.execution_id})
    tap.handle_normally(request, caller)


def block_during_hold(request: Request, caller: Caller, tap: Tap) -> None:
    """Block the server while a status is held."""
    if isinstance(request, StatusRequest) and request.wait_seconds:
        threading.Event().wait(min(request.wait_seconds, 0.2))
        request = request.model_copy(update={"wait_seconds": 0.0})
    tap.handle_normally(request, caller)


def reply_immediately(request: Request, caller: Caller, tap: Tap) -> None:
    """Reply to every status immediately."""
    if isinstance(request, StatusRequest):
        request = request.model_copy(update={"wait_seconds": 0.0})
    tap.handle_normally(request, caller)


def ignore_timeout(request: Request, caller: Caller, tap: Tap) -> None:
    """Ignore the timeout of a task."""
    if isinstance(request, ExecuteRequest):
        request = request.model_copy(update={"timeout_seconds": None})
    tap.handle_normally(request, caller)


# -- events ---------------------------------------------------------------------------------------

Published = Iterable[tuple[str, Object | list[Object]]]


def numbered_from_zero(topic: str, event: Object, _: Tap) -> Published:
    return [(topic, event | {"sequence": event["sequence"] - 1})]


def numbered_with_a_gap(topic: str, event: Object, _: Tap) -> Published:
    return [(topic, event | {"sequence": 2 * event["sequence"] - 1})]


def without_its_client(topic: str, event: Object, _: Tap) -> Published:
    return [(event["execution_id"], event)]


def without_its_end(topic: str, event: Object, _: Tap) -> Published:
    return [] if event.get("finished_at") else [(topic, event)]


def started_without_a_status(topic: str, event: Object, _: Tap) -> Published:
    return [(topic, event | {"status": None} if event.get("status") == "running" else event)]


def without_its_start(topic: str, event: Object, _: Tap) -> Published:
    return [] if event.get("status") == "running" else [(topic, event)]


def ended_twice(topic: str, event: Object, _: Tap) -> Published:
    return [(topic, event)] * (2 if event.get("finished_at") else 1)


def with_the_result(topic: str, event: Object, _: Tap) -> Published:
    return [(topic, event | {"result": 1} if event.get("status") == "complete" else event)]


def percent_as_a_share(topic: str, event: Object, _: Tap) -> Published:
    share = {"percent": event["percent"] / 100} if event.get("percent") else {}
    return [(topic, event | share)]


def publish_pairs(topic: str, event: Object, tap: Tap) -> Published:
    """Publish events in pairs, also to subscribers without arrays."""
    if event["type"] == "progress" and topic not in tap.memory:
        tap.memory[topic] = event
        return []
    first = tap.memory.pop(topic, None)
    return [(topic, [first, event] if first else event)]


def with_unsolicited_replies(topic: str, event: Object, tap: Tap) -> Published:
    if event.get("finished_at"):
        callers, tap.callers = {caller.envelope: caller for caller in tap.callers}, []
        for caller in callers.values():
            tap.send(caller, b'{"type":"ok","status":"ok","protocol":1,"request_id":null}')
    return [(topic, event)]


# -- the server ---------------------------------------------------------------------------------


class LastComeFirstServed(InMemoryLifecycleEngine):
    """A stack instead of a queue."""

    def peek(self) -> Execution | None:
        queued = [e for _, e in self.list_queued(1000).entries if e.retry_at is None]
        return queued[-1] if queued else None


def acknowledge_without_subscription(session: ExecutionSession) -> None:
    """Acknowledge a registration without a subscription."""
    setattr(session.registrations, "register", lambda client_id, scope, caller: True)  # noqa: B010


def keep_closed_subscribers(session: ExecutionSession) -> None:
    """Ignore the end of a subscription."""
    apply = session.registrations.apply
    setattr(  # noqa: B010
        session.registrations,
        "apply",
        lambda frame, times: apply(frame, times) if frame[:1] == b"\1" else [],
    )


FAULTS = [
    # Every reply
    Fault(
        "no reply to an unknown type",
        "C-012",
        reply=lambda reply, _: [] if reply.get("code") == "unknown_type" else [reply],
    ),
    Fault("every reply twice", "C-012", reply=lambda reply, _: [reply, reply]),
    Fault("unsolicited replies", "C-013", event=with_unsolicited_replies),
    Fault("a reply without request_id", "C-022", reply=without("request_id")),
    Fault("another request_id", "C-019", reply=changed(lambda _: {"request_id": "mine"})),
    Fault("a reply without protocol", "C-022", reply=without("protocol")),
    Fault(
        "accepted is ok",
        "C-022",
        reply=changed(lambda _: {"status": "ok"}, type="accepted"),
    ),
    Fault(
        "NaN in a reply", "C-011", reply=changed(lambda _: {"started_at": math.nan}, type="pong")
    ),
    Fault(
        "half of the envelope",
        "C-005",
        envelope=lambda caller: caller._replace(envelope=(caller.envelope[0], b"")),
    ),
    Fault(
        "an endlessly nested reply",
        "C-011",
        reply=lambda reply, _: [b"[" * 100_000 if reply["type"] == "pong" else reply],
    ),
    # Requests
    Fault(
        "unknown fields are ignored",
        "C-020",
        wire=lambda request: {k: v for k, v in request.items() if k in KNOWN},
    ),
    Fault(
        "strings are read as numbers",
        "C-015",
        wire=lambda request: request | ({"limit": 10} if request.get("limit") == "10" else {}),
    ),
    Fault(
        "null is read as absent",
        "C-016",
        wire=lambda request: {k: v for k, v in request.items() if v is not None},
    ),
    Fault(
        "any protocol version is accepted",
        "C-099",
        wire=lambda request: request | {"protocol": 1},
    ),
    Fault("an ignored timeout", "C-050", request=ignore_timeout),
    # Fields
    Fault("a pong without workers", "C-038", reply=without("workers", "pong")),
    Fault(
        "a start time that is not a number",
        "C-034",
        reply=changed(lambda reply: {"started_at": str(reply["started_at"])}, type="pong"),
    ),
    Fault("a record without labels", "C-112", reply=recorded(lambda _: {"labels": {}})),
    Fault(
        "no details in an error", "C-095", reply=changed(lambda _: {"details": []}, type="error")
    ),
    # Errors
    Fault(
        "malformed is reported as invalid",
        "C-096",
        reply=changed(lambda _: {"code": "invalid_request"}, code="malformed"),
    ),
    Fault(
        "unknown is reported as a conflict",
        "C-100",
        reply=changed(lambda _: {"code": "conflict"}, code="unknown_execution"),
    ),
    # Executing
    Fault("a duplicate is executed again", "C-054", request=enqueue_again),
    Fault(
        "a duplicate is reported as new",
        "C-053",
        reply=changed(lambda _: {"duplicate": False}, type="accepted"),
    ),
    Fault(
        "other content is a duplicate",
        "C-055",
        reply=changed(
            lambda _: {
                "type": "accepted",
                "status": "accepted",
                "execution_id": "known",
                "duplicate": True,
            },
            code="conflict",
        ),
    ),
    Fault("a stack instead of a queue", "C-052", engine=LastComeFirstServed),
    Fault(
        "the queue is listed backwards",
        "C-036",
        reply=lambda reply, _: [
            reply | {"queued_executions": reply.get("queued_executions", [])[::-1]}
        ],
    ),
    Fault("a terminal status that changes", "C-109", reply=alternate_terminal_status),
    Fault(
        "a result of a failed execution",
        "C-118",
        reply=recorded(lambda _: {"result": "partial"}, status="failed"),
    ),
    Fault("5.0 is returned as 5", "C-118", reply=integers_only),
    Fault(
        "an error without an exit code",
        "C-124",
        reply=recorded(
            lambda record: {
                "error": {k: v for k, v in record["error"].items() if k != "exit_code"}
            },
            status="failed",
        ),
    ),
    Fault(
        "a result that is nested too deeply is reported as an exception",
        "C-127",
        reply=recorded(
            lambda record: {"error": record["error"] | {"kind": "exception"}}, status="failed"
        ),
    ),
    # Status
    Fault(
        "a snapshot without the execution",
        "C-066",
        reply=changed(lambda _: {"execution": None}, type="snapshot"),
    ),
    Fault("a status of a record that is null", "C-111", reply=recorded(lambda _: {"status": None})),
    Fault(
        "another order of further records",
        "C-281",
        reply=lambda reply, _: [
            reply | ({"also": reply["also"][::-1]} if reply.get("also") else {})
        ],
    ),
    Fault("a held status blocks the server", "C-007", request=block_during_hold),
    Fault("a status that is not held", "C-064", request=reply_immediately),
    Fault(
        "only one page of the queue",
        "C-070",
        reply=changed(lambda _: {"cursor": None}, type="snapshot"),
    ),
    # Cancel
    Fault("a cancel of the wrong execution", "C-072", request=cancel_running),
    Fault(
        "a cancel of a complete execution",
        "C-077",
        reply=changed(lambda _: {"type": "ok", "status": "ok"}, code="conflict"),
    ),
    Fault(
        "a cancel that reports queued",
        "C-076",
        reply=changed(lambda _: {"execution_status": "queued"}, execution_status="running"),
    ),
    Fault(
        "every cancel reports cancelled",
        "C-076",
        reply=changed(lambda _: {"execution_status": "cancelled"}, execution_status="running"),
    ),
    # Registration
    Fault("an early ok to a registration", "C-154", session=acknowledge_without_subscription),
    Fault(
        "a registration without subscription is malformed",
        "C-155",
        reply=changed(lambda _: {"code": "malformed"}, code="not_subscribed"),
    ),
    Fault("a closed subscriber stays registered", "C-161", session=keep_closed_subscribers),
    # Events
    Fault("a sequence from 0", "C-139", event=numbered_from_zero),
    Fault("a sequence with gaps", "C-139", event=numbered_with_a_gap),
    Fault("an event on a topic without its client", "C-134", event=without_its_client),
    Fault("no terminal event", "C-151", event=without_its_end),
    Fault("two terminal events", "C-151", event=ended_twice),
    Fault("no running event", "C-149", event=without_its_start),
    Fault("a running event without a status", "C-149", event=started_without_a_status),
    Fault("the result in a state event", "C-150", event=with_the_result),
    Fault("arrays of events for every subscriber", "C-208", event=publish_pairs),
    Fault("percent from 0 to 1", "C-143", event=percent_as_a_share),
    # The end
    Fault(
        "a shutdown reply without its mode",
        "C-083",
        reply=without("mode", "shutdown_ack"),
        ending=ShutdownMode.NOW,
    ),
]

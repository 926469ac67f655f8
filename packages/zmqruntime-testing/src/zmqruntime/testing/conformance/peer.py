"""`Peer`: a client of the server under test, without any code of the real client."""

from __future__ import annotations

import itertools
import json
import time
from collections import defaultdict, deque
from typing import Any

from zmqruntime.testing.conformance.connection import Connection
from zmqruntime.testing.conformance.target import Target
from zmqruntime.testing.conformance.transcript import (
    Event,
    Exchange,
    Message,
    Transcript,
    Violation,
)

__all__ = ["TERMINAL", "Peer"]

TERMINAL = frozenset({"complete", "failed", "cancelled"})

_HOLD_SECONDS = 60.0

# Much longer than any reply takes, and much shorter than the longest hold.
_LATEST_SECONDS = 30.0

_REPLY_REQUIREMENTS = {
    "ping": "C-026",
    "execute": "C-044",
    "status": "C-059",
    "cancel": "C-073",
    "events": "C-188",
    "log_tail": "C-199",
    "register_progress": "C-078",
    "unregister_progress": "C-081",
    "shutdown": "C-083",
}


class Peer(Connection):
    """Sends requests, receives events, and cancels its executions when it is closed.

    Args:
        target: the addresses of the server.
        transcript: records every message.
        patience: timeout of each reply and event, in seconds.
        name: the ``client_id``.
        slots: number of tasks that the server runs in parallel.
    """

    def __init__(
        self, target: Target, transcript: Transcript, patience: float, name: str, slots: int = 1
    ) -> None:
        self._numbers = itertools.count(1)
        self._unfinished: set[str] = set()
        self._unread: dict[str, deque[Event]] = defaultdict(deque)
        self._registered = False
        self._slots = slots
        super().__init__(target, transcript, patience, name)

    def close(self) -> None:
        """Cancel the unfinished executions, and close the sockets.

        Raises:
            Violation: an execution did not end; the sockets are closed nevertheless.
        """
        try:
            self.cancel_all()
        finally:
            super().close()

    def cancel_all(self) -> None:
        """Cancel the unfinished executions, and wait for their end."""
        unfinished, self._unfinished = self._unfinished, set()
        for execution_id in unfinished:
            self.request("cancel", execution_id=execution_id)
        for execution_id in unfinished:
            self.await_end(execution_id)

    def untrack_all(self) -> None:
        """Stop tracking executions, before a shutdown of the server."""
        self._unfinished.clear()

    # -- requests -------------------------------------------------------------------------------

    def send_request(self, type: str, **fields: Any) -> Exchange:
        """Send a request without waiting for its reply."""
        request_id = fields.setdefault("request_id", f"{self.name}-{next(self._numbers)}")
        frame = json.dumps({"type": type, **fields}, ensure_ascii=False).encode()
        return self.send(b"", frame, request_id=request_id)

    def request(self, type: str, **fields: Any) -> Message:
        """Send a request and return its reply, which may be an error."""
        return self.await_reply(self.send_request(type, **fields))

    def request_frames(self, *frames: bytes) -> Message:
        """Send these frames, without a ``request_id``, and return the reply."""
        return self.await_reply(self.send(*frames))

    def await_held(self, exchange: Exchange, seconds: float = 0.0) -> Message:
        """Return the reply to a long poll that the server must hold for about ``seconds``.

        Raises:
            Violation: the reply is early, or so late that the server held it for the whole
                ``wait_seconds``.
        """
        reply = self.await_reply(exchange, seconds + self.patience)
        exchange.check_seconds(0.9 * seconds, seconds + _LATEST_SECONDS)
        return reply

    def expect_reply(self, reply_type: str, type: str, **fields: Any) -> Message:
        """Send a request and return its reply, which must be of type ``reply_type``.

        Raises:
            Violation: the reply is an error or of another type.
        """
        exchange = self.send_request(type, **fields)
        reply = self.await_reply(exchange)
        if reply["type"] == "error":
            raise Violation(
                f"reply of type 'error', expected {reply_type!r}", shown=exchange.lines()
            )
        if reply["type"] != reply_type:
            what = f"reply of type {reply['type']!r}, expected {reply_type!r}"
            raise Violation(what, _REPLY_REQUIREMENTS[type], exchange.lines())
        if type == "execute":
            self.track(reply)
        return reply

    def expect_error(self, code: str, type: str, **fields: Any) -> Message:
        """Send a request and return its reply, which must be an error with ``code``.

        Raises:
            Violation: the reply is not an error, or has another code.
        """
        exchange = self.send_request(type, **fields)
        reply = self.await_reply(exchange)
        if reply["type"] != "error":
            what = f"reply of type {reply['type']!r}, expected an error with code {code!r}"
            raise Violation(what, shown=exchange.lines())
        if reply["code"] != code:
            raise Violation(
                f"error with code {reply['code']!r}, expected {code!r}", shown=exchange.lines()
            )
        return reply

    # -- executions -----------------------------------------------------------------------------

    def track(self, accepted: Message) -> str:
        """Return the id of an accepted execution, which is cancelled when this peer is closed."""
        execution_id = accepted["execution_id"]
        if not isinstance(execution_id, str):
            raise Violation(f"execution_id is {execution_id!r}, expected a string", "C-051")
        self._unfinished.add(execution_id)
        return execution_id

    def submit(self, do: str, *, fields: dict[str, Any] | None = None, **task: Any) -> str:
        """Submit a standard task and return its id; ``fields`` are added to the request."""
        request = {"client_id": self.name, "task": {"do": do, **task}} | (fields or {})
        execution_id: str = self.expect_reply("accepted", "execute", **request)["execution_id"]
        return execution_id

    def fill_slots(self) -> list[str]:
        """Run an endless task in every slot, so that further executions are queued."""
        if not self._registered:
            self.register()
        spinning = [self.submit("spin") for _ in range(self._slots)]
        for execution_id in spinning:
            self.await_state(execution_id, "running")
        return spinning

    def record(self, execution_id: str, wait_seconds: float = 0.0) -> Message:
        """Return the record; with ``wait_seconds``, wait up to that long for the end."""
        query = {"execution_id": execution_id, "wait_seconds": wait_seconds}
        return _record_in(self.expect_reply("snapshot", "status", **query))

    def await_end(self, execution_id: str) -> Message:
        """Wait for the end of an execution and return its record.

        Raises:
            Violation: it does not end within the timeout.
        """
        deadline = time.monotonic() + self.patience
        while (remaining := deadline - time.monotonic()) > 0:
            hold = min(remaining, _HOLD_SECONDS)
            exchange = self.send_request("status", execution_id=execution_id, wait_seconds=hold)
            record = _record_in(self.await_reply(exchange, hold + self.patience))
            if record["status"] in TERMINAL:
                self._unfinished.discard(execution_id)
                return record
        raise Violation(f"execution {execution_id} did not end within {self.patience:g} s")

    # -- events ---------------------------------------------------------------------------------

    def subscribe(self, prefix: str | None = None) -> None:
        """Subscribe to the events of this client, or to another topic prefix."""
        self.data.subscribe(f"{self.name}/" if prefix is None else prefix)

    def register(self, scope: str = "own", *, arrays: bool = False) -> Message:
        """Subscribe and register; ``arrays`` also subscribes to arrays of events."""
        prefixes = ["", f"{self.name}/"] if scope == "all" else [f"{self.name}/"]
        if arrays:
            prefixes += [f"~{prefix}" for prefix in prefixes]
        for prefix in prefixes:
            self.subscribe(prefix)
        self._registered = True
        self.accepts_arrays = arrays
        return self.expect_reply("ok", "register_progress", client_id=self.name, scope=scope)

    def next_event(self, execution_id: str) -> Event | None:
        """Return the next event of an execution; None on a timeout."""
        deadline = time.monotonic() + self.patience
        while not self._unread[execution_id]:
            event = self.receive_event(deadline)
            if event is None:
                return None
            named = event.body.get("execution_id")
            if not isinstance(named, str):
                raise Violation(
                    f"execution_id is {named!r}, expected a string", "C-138", event.lines()
                )
            self._unread[named].append(event)
        return self._unread[execution_id].popleft()

    def unread_events(self, execution_id: str) -> list[Event]:
        """Return the received events of an execution that have not been read yet."""
        return list(self._unread[execution_id])

    def await_state(self, execution_id: str, *statuses: str, number: str = "C-149") -> list[Event]:
        """Return the events of an execution up to a `state` event with one of these statuses.

        Raises:
            Violation: of requirement ``number``, on a timeout.
        """
        events: list[Event] = []
        while (event := self.next_event(execution_id)) is not None:
            events.append(event)
            if event.body.get("type") == "state" and event.body.get("status") in statuses:
                return events
        if not events:
            raise Violation(f"no event within {self.patience:g} s", "C-156")
        shown = [line for event in events[-3:] for line in event.lines()]
        what = f"no `state` event with status {' or '.join(statuses)}"
        raise Violation(f"{what} within {self.patience:g} s", number, shown)

    def events_to_end(self, execution_id: str) -> list[Event]:
        """Return the events of an execution up to its end. The peer must be registered."""
        return self.await_state(execution_id, *sorted(TERMINAL), number="C-151")


def _record_in(snapshot: Message) -> Message:
    """Return the record in a snapshot of one execution."""
    record = snapshot["execution"]
    if not isinstance(record, Message):
        raise Violation(
            f"execution is {record!r}, expected the record of the requested execution", "C-066"
        )
    if not isinstance(record["status"], str):
        raise Violation(f"status is {record['status']!r}, expected a string", "C-111")
    return record

"""A client of the server under test, in the words of the protocol."""

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

# Far more than any answer takes, and far less than the longest hold.
_LATEST_SECONDS = 30.0

_ANSWERED_BY = {
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
    """Asks, listens, and takes its work away when it leaves; its name is its ``client_id``.

    Args:
        target: where the server is.
        transcript: where everything is written down that is said.
        patience: how long to wait for what is due, in seconds.
        name: the ``client_id``.
        slots: how many tasks the server runs at once.
    """

    def __init__(
        self, target: Target, transcript: Transcript, patience: float, name: str, slots: int = 1
    ) -> None:
        self._numbers = itertools.count(1)
        self._unfinished: set[str] = set()
        self._kept: dict[str, deque[Event]] = defaultdict(deque)
        self._registered = False
        self._slots = slots
        super().__init__(target, transcript, patience, name)

    def close(self) -> None:
        """Leave no work behind, and close the sockets.

        Raises:
            Violation: the server kept some of the work; the sockets are closed all the same.
        """
        try:
            self.cancel_all()
        finally:
            super().close()

    def cancel_all(self) -> None:
        """Cancel what has not ended, and see it end."""
        unfinished, self._unfinished = self._unfinished, set()
        for execution_id in unfinished:
            self.request("cancel", execution_id=execution_id)
        for execution_id in unfinished:
            self.await_end(execution_id)

    def untrack_all(self) -> None:
        """Leave what runs to the server, which is about to end."""
        self._unfinished.clear()

    # -- requests -------------------------------------------------------------------------------

    def send_request(self, type: str, **fields: Any) -> Exchange:
        """Send a request and do not wait for its reply."""
        request_id = fields.setdefault("request_id", f"{self.name}-{next(self._numbers)}")
        frame = json.dumps({"type": type, **fields}, ensure_ascii=False).encode()
        return self.send(b"", frame, request_id=request_id)

    def request(self, type: str, **fields: Any) -> Message:
        """Return the reply to a request, whatever it says."""
        return self.await_reply(self.send_request(type, **fields))

    def request_frames(self, *frames: bytes) -> Message:
        """Return the reply to these frames, which hold no ``request_id``, as they are."""
        return self.await_reply(self.send(*frames))

    def await_held(self, exchange: Exchange, seconds: float = 0.0) -> Message:
        """Return the reply to a request that the server holds for about ``seconds``, not longer.

        Raises:
            Violation: it comes sooner, or so much later that the server held it for the whole
                of a longer ``wait_seconds``.
        """
        reply = self.await_reply(exchange, seconds + self.patience)
        exchange.check_seconds(0.9 * seconds, seconds + _LATEST_SECONDS)
        return reply

    def expect_reply(self, reply_type: str, type: str, **fields: Any) -> Message:
        """Return the reply to a request that has to be granted.

        Raises:
            Violation: it is refused, or answered by something else.
        """
        exchange = self.send_request(type, **fields)
        reply = self.await_reply(exchange)
        if reply["type"] == "error":
            raise Violation("the request is refused", shown=exchange.lines())
        if reply["type"] != reply_type:
            what = f"the reply is not of type {reply_type!r}"
            raise Violation(what, _ANSWERED_BY[type], exchange.lines())
        if type == "execute":
            self.track(reply)
        return reply

    def expect_error(self, code: str, type: str, **fields: Any) -> Message:
        """Return the error with which a request has to be refused.

        Raises:
            Violation: it is granted, or refused with another code.
        """
        exchange = self.send_request(type, **fields)
        reply = self.await_reply(exchange)
        if reply["type"] != "error":
            raise Violation("the request is not refused", shown=exchange.lines())
        if reply["code"] != code:
            raise Violation(f"the code is not {code!r}", shown=exchange.lines())
        return reply

    # -- executions -----------------------------------------------------------------------------

    def track(self, accepted: Message) -> str:
        """Return the id of what was accepted, and take it away when this peer leaves."""
        execution_id = accepted["execution_id"]
        if not isinstance(execution_id, str):
            raise Violation(f"execution_id is {execution_id!r}", "C-051")
        self._unfinished.add(execution_id)
        return execution_id

    def submit(self, do: str, *, fields: dict[str, Any] | None = None, **task: Any) -> str:
        """Have a standard task accepted and return its id; ``fields`` are the request's own."""
        request = {"client_id": self.name, "task": {"do": do, **task}} | (fields or {})
        execution_id: str = self.expect_reply("accepted", "execute", **request)["execution_id"]
        return execution_id

    def fill_slots(self) -> list[str]:
        """Start as many endless tasks as the server runs at once, so that others have to wait."""
        if not self._registered:
            self.register()
        spinning = [self.submit("spin") for _ in range(self._slots)]
        for execution_id in spinning:
            self.await_state(execution_id, "running")
        return spinning

    def record(self, execution_id: str, wait_seconds: float = 0.0) -> Message:
        """Return the record as it is now, or up to ``wait_seconds`` later if it has not ended."""
        asked = {"execution_id": execution_id, "wait_seconds": wait_seconds}
        return _record_in(self.expect_reply("snapshot", "status", **asked))

    def await_end(self, execution_id: str) -> Message:
        """Return the record once the execution has ended.

        Raises:
            Violation: it does not.
        """
        deadline = time.monotonic() + self.patience
        while (remaining := deadline - time.monotonic()) > 0:
            hold = min(remaining, _HOLD_SECONDS)
            exchange = self.send_request("status", execution_id=execution_id, wait_seconds=hold)
            record = _record_in(self.await_reply(exchange, hold + self.patience))
            if record["status"] in TERMINAL:
                self._unfinished.discard(execution_id)
                return record
        raise Violation(f"the execution has not ended within {self.patience:g} s")

    # -- events ---------------------------------------------------------------------------------

    def subscribe(self, prefix: str | None = None) -> None:
        """Subscribe to the events of this client, or to another prefix."""
        self.data.subscribe(f"{self.name}/" if prefix is None else prefix)

    def register(self, scope: str = "own", *, arrays: bool = False) -> Message:
        """Subscribe and have it acknowledged, as a client does that takes arrays, or takes none."""
        prefixes = ["", f"{self.name}/"] if scope == "all" else [f"{self.name}/"]
        if arrays:
            prefixes += [f"~{prefix}" for prefix in prefixes]
        for prefix in prefixes:
            self.subscribe(prefix)
        self._registered = True
        self.accepts_arrays = arrays
        return self.expect_reply("ok", "register_progress", client_id=self.name, scope=scope)

    def next_event(self, execution_id: str) -> Event | None:
        """Return the next event of an execution; None when none comes."""
        deadline = time.monotonic() + self.patience
        while not self._kept[execution_id]:
            event = self.receive_event(deadline)
            if event is None:
                return None
            named = event.body.get("execution_id")
            if not isinstance(named, str):
                raise Violation(f"execution_id is {named!r}", "C-138", event.lines())
            self._kept[named].append(event)
        return self._kept[execution_id].popleft()

    def unread_events(self, execution_id: str) -> list[Event]:
        """Return the events of an execution that have come and were not asked for."""
        return list(self._kept[execution_id])

    def await_state(self, execution_id: str, *statuses: str, number: str = "C-149") -> list[Event]:
        """Return the events of an execution up to a `state` with one of these.

        Raises:
            Violation: it does not come; ``number`` is what is broken then.
        """
        events: list[Event] = []
        while (event := self.next_event(execution_id)) is not None:
            events.append(event)
            if event.body.get("type") == "state" and event.body.get("status") in statuses:
                return events
        if not events:
            raise Violation(f"no event came within {self.patience:g} s", "C-156")
        shown = [line for event in events[-3:] for line in event.lines()]
        what = f"no `state` event with status {' or '.join(statuses)} came"
        raise Violation(f"{what} within {self.patience:g} s", number, shown)

    def events_to_end(self, execution_id: str) -> list[Event]:
        """Return the events of an execution up to its end. The peer has to be registered."""
        return self.await_state(execution_id, *sorted(TERMINAL), number="C-151")


def _record_in(snapshot: Message) -> Message:
    """Return the record of the one execution that was asked for."""
    record = snapshot["execution"]
    if not isinstance(record, Message):
        raise Violation(f"execution is {record!r}, and the request names one", "C-066")
    if not isinstance(record["status"], str):
        raise Violation(f"status is {record['status']!r}", "C-111")
    return record
